"""The command line `posenfs`; its commands are functions in posenfs/cli, one module per subject."""

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
from posenfs.errors import PosenfsError
from posenfs.messages import error_message, error_reason, suggestion
from posenfs.plugins import load_plugin, load_plugins
from posenfs.search.signals import say_interrupted, terminable

_SEARCH_HELP = (
    "Search part-specific fabrics in the run directory reports/runs/<name>, or continue there."
)
_DESCRIPTION = (
    "Neural architecture search on human pose. Every command takes --plugin FILE, any number of "
    "times: a Python file or an importable module that adds operations, backbones, strategies or "
    "data sets (docs/extending.md)."
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
    "data": "Draw, check and cache data sets.",
    "evaluate": "Score predictions of any method.",
    "submit": "Predict a benchmark's test split and write its submission file.",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    An error that a user can cause becomes one message on stderr and exit code 1.

    Args:
        arguments: The arguments; None: those of the process.
    """
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
    except BrokenPipeError:  # the reader of the output has closed it, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt as interrupt:
        sys.exit(say_interrupted(interrupt))
    except Exception as error:
        message = _user_message(error)
        if message is None:
            raise
        sys.exit(f"posenfs: {message}")


def _without_plugins(arguments: Sequence[str]) -> list[str]:
    """Load the plugins of `--plugin` (at any position), and those that are always loaded.

    Returns:
        The other arguments.
    """
    parser = argparse.ArgumentParser(
        "posenfs", "posenfs COMMAND [--plugin FILE]", add_help=False, allow_abbrev=False
    )
    parser.add_argument("--plugin", action="append", default=[])
    options, others = parser.parse_known_args(list(arguments))
    # Help must be fast, and `doctor` reports on the plugins itself.
    if {"-h", "--help"}.isdisjoint(others) and others[:1] != ["doctor"]:
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
    """Return all commands.

    Args:
        searching: Whether `search` has its options. They are those of an Experiment, which takes
            seconds to import: for other commands `search` is listed by its name alone.
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

            app.command(_deferred(search))
        else:
            app.command(command, name=name, help=_SEARCH_HELP)
    return app


def _search(arguments: Sequence[str]) -> None:
    """Parse the options of a search, then run it.

    An invalid value raises ValueError in Experiment. tyro would print it in its own form: the error
    is raised again, for a message of the usual form.
    """
    app, output = _app(True), io.StringIO()
    try:
        with contextlib.redirect_stderr(output):
            run = app.cli(
                prog="posenfs", args=arguments, description=_DESCRIPTION, registry=_option_types()
            )
    except (SystemExit, ValueError) as stop:
        if (error := _value_error(stop)) is not None:
            raise ValueError(f"{error} (posenfs search --help)") from None
        print(output.getvalue(), end="", file=sys.stderr)
        raise
    run()


def _option_types() -> ConstructorRegistry:
    """Return how tyro parses an ImageSize: one option with two values, as a tuple[int, int].

    An Experiment converts the tuple.
    """
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


def _value_error(stop: BaseException) -> ValueError | None:
    """Return the ValueError of posenfs for which tyro stopped; None if it has other reasons."""
    error: BaseException | None = stop
    while error is not None and not isinstance(error, ValueError):
        error = error.__context__
    if error is None:
        return None
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return error if frame.f_globals["__name__"].startswith("posenfs.") else None


def _deferred(command: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """Return a command that parses its options and returns what runs it."""

    @functools.wraps(command)
    def parse(*options: object, **named: object) -> Callable[[], None]:
        return functools.partial(command, *options, **named)

    return parse


def _user_message(error: Exception) -> str | None:
    """Return the message of an error that a user can cause; None for a bug (full traceback)."""
    # torch's OutOfMemoryError, by name: torch may not have been imported.
    if type(error).__name__ == "OutOfMemoryError":
        return f"out of memory on the device ({error_reason(error)})"
    if isinstance(error, PosenfsError | ValueError | OSError):
        return error_message(error)
    return None
