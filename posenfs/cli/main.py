"""The command `posenfs`: what it can be told is in posenfs/cli, a file for each subject."""

import argparse
import contextlib
import functools
import io
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata

from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    UnsupportedTypeAnnotationError,
)
from tyro.extras import SubcommandApp

from posenfs.cli import data, doctor, evaluation, models, runs, study
from posenfs.messages import error_message, error_reason, suggestion
from posenfs.plugins import load_plugin, load_plugins
from posenfs.search.signals import say_interrupted, terminable

_SEARCH = """Search part-specific fabrics, in the run folder reports/runs/<name>; a run begun before goes on."""
_DESCRIPTION = (
    "Neural architecture search on human pose. Every command takes --plugin FILE: a Python file, or an importable "
    "module, that adds operations, backbones, strategies or data sets of your own (docs/extending.md); may be given "
    "many times."
)
_COMMANDS: dict[str, Callable[..., None] | dict[str, Callable[..., None]]] = {
    "search": lambda: None,  # see _app
    "resume": runs.resume,
    "control": runs.control,
    "follow": runs.follow,
    "run": runs.run,
    "ablate": study.ablate,
    "report": runs.report,
    "status": runs.status,
    "compare": runs.compare,
    "cost": study.cost,
    "predict": models.predict,
    "test": evaluation.test,
    "import": models.import_,
    "prune": models.prune,
    "child": models.child,
    "data": {"synthetic": data.synthetic, "check": data.check, "cache": data.cache},
    "evaluate": {"mpii": evaluation.mpii, "pck": evaluation.pck, "coco": evaluation.coco},
    "submit": {"mpii": evaluation.submit_mpii, "coco": evaluation.submit_coco},
    "doctor": doctor.doctor,
}
_GROUP_HELP = {
    "data": "Draw people, or check a folder.",
    "evaluate": "Score anyone's predictions.",
    "submit": "Predict a benchmark's test people and write the file it takes.",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error a user can cause is one message on stderr and exit code 1."""
    with terminable():
        _run(sys.argv[1:] if arguments is None else arguments)


def _run(arguments: Sequence[str]) -> None:
    if list(arguments[:1]) == ["--version"]:
        print(f"posenfs {metadata.version('posenfs')}")
        return
    try:
        arguments = _without_plugins(arguments)
        _check_command(arguments)
        if "search" in arguments[:1]:
            _search(arguments)
        else:
            _app(False).cli(prog="posenfs", args=arguments, description=_DESCRIPTION)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt as interrupt:
        sys.exit(say_interrupted(interrupt))
    except Exception as error:
        if (words := _told(error)) is None:
            raise
        sys.exit(f"posenfs: {words}")


def _without_plugins(arguments: Sequence[str]) -> list[str]:
    """Load the plugins that `--plugin` gives, before or after the command's name, and those that are always loaded.

    Returns:
        The other arguments.
    """
    parser = argparse.ArgumentParser(
        "posenfs", "posenfs COMMAND [--plugin FILE]", add_help=False, allow_abbrev=False
    )
    parser.add_argument("--plugin", action="append", default=[])
    options, others = parser.parse_known_args(list(arguments))
    if {"-h", "--help"}.isdisjoint(others) and others[:1] != [
        "doctor"
    ]:  # which reports on plugins itself
        load_plugins()
    for source in options.plugin:
        load_plugin(source)
    return others


def _check_command(arguments: Sequence[str]) -> None:
    """Exit with code 2 for a command that does not exist, and suggest one that does."""
    commands: Mapping | Callable = _COMMANDS
    before = ""
    for name in arguments:
        if not isinstance(commands, Mapping) or name.startswith("-"):
            return
        if name not in commands:
            message = f"unknown command '{before}{name}'{suggestion(name, commands)}"
            names = f"The commands are {', '.join(commands)} (posenfs {before}--help)"
            print(f"posenfs: {message} {names}", file=sys.stderr)
            sys.exit(2)
        commands = commands[name]
        before += f"{name} "


def _app(searching: bool) -> SubcommandApp:
    """All commands.

    The options of `search` are an Experiment's, which takes seconds to import: where another command is given, it is
    listed by its name alone.
    """
    app = SubcommandApp()
    for name, command in _COMMANDS.items():
        if isinstance(command, Mapping):
            group = SubcommandApp()
            for subcommand, function in command.items():
                group.command(function, name=subcommand)
            app.command(group, name=name, help=_GROUP_HELP[name])
        elif name != "search":
            app.command(command, name=name)
        elif searching:
            from posenfs.cli.search import search

            app.command(_later(search))
        else:
            app.command(command, name=name, help=_SEARCH)
    return app


def _search(arguments: Sequence[str]) -> None:
    """Read the options of a search, then run it. What is wrong with a value an Experiment itself says, in a ValueError
    that tyro would print by its own name of the place: it is raised again, for our message.
    """
    app, said = _app(True), io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            begin = app.cli(
                prog="posenfs",
                args=arguments,
                description=_DESCRIPTION,
                registry=_option_types(),
            )
    except (SystemExit, ValueError) as stop:
        if (error := _own(stop)) is not None:
            raise ValueError(f"{error} (posenfs search --help)") from None
        print(said.getvalue(), end="", file=sys.stderr)
        raise
    begin()


def _option_types() -> ConstructorRegistry:
    """Tyro reads an ImageSize like a tuple[int, int]: as one option with two values. An Experiment converts it."""
    from posenfs.data.geometry import ImageSize

    registry = ConstructorRegistry()

    @registry.primitive_rule
    def image_size(
        info: PrimitiveTypeInfo,
    ) -> PrimitiveConstructorSpec | UnsupportedTypeAnnotationError | None:
        if info.type is not ImageSize:
            return None
        pair = PrimitiveTypeInfo.make(tuple[int, int], info.markers)
        return ConstructorRegistry.get_primitive_spec(pair)

    return registry


def _own(stop: BaseException) -> ValueError | None:
    """The ValueError of posenfs' own for which tyro stopped; None where it has other reasons."""
    error: BaseException | None = stop
    while error is not None and not isinstance(error, ValueError):
        error = error.__context__
    if error is None:
        return None
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return error if frame.f_globals["__name__"].startswith("posenfs.") else None


def _later(command: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """A command that, once its options are read, gives what runs it."""

    @functools.wraps(command)
    def read(*options: object, **named: object) -> Callable[[], None]:
        return functools.partial(command, *options, **named)

    return read


def _told(error: Exception) -> str | None:
    """The words of an error that a user can cause: every one of posenfs' own, and what Python says of values and files.
    None: a mistake of ours, to be seen whole.
    """
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which may not have been imported
        return f"out of memory on the device ({error_reason(error)})"
    own = type(error).__module__.startswith("posenfs.")
    return error_message(error) if own or isinstance(error, (ValueError, OSError)) else None
