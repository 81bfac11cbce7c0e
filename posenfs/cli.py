"""The command `posenfs`: what it can be told is in posenfs/commands, a file for each subject."""

import contextlib
import functools
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import metadata

from tyro.extras import SubcommandApp

from posenfs.body.words import reason_of
from posenfs.commands import data, doctor, evaluation, models, runs, study
from posenfs.search.signals import say_interrupted, terminable

_SEARCH = """Search part-specific fabrics, in the run folder reports/runs/<name>; a run begun before goes on."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error a user can cause is one message on stderr and exit code 1."""
    with terminable():
        _run(sys.argv[1:] if arguments is None else arguments)


def _run(arguments: Sequence[str]) -> None:
    if list(arguments[:1]) == ["--version"]:
        print(f"posenfs {metadata.version('posenfs')}")
        return
    try:
        if "search" in arguments[:1]:
            _search(arguments)
        else:
            _app(False).cli(prog="posenfs", args=arguments)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt as interrupt:
        sys.exit(say_interrupted(interrupt))
    except Exception as error:
        if (words := _told(error)) is None:
            raise
        sys.exit(f"posenfs: {words}")


def _app(searching: bool) -> SubcommandApp:
    """All commands. The options of `search` are an Experiment's, which takes seconds to import: where something else is
    asked for it stands there by its name alone."""
    app = SubcommandApp()
    if searching:
        from posenfs.commands.search import search

        app.command(_later(search))
    else:
        app.command(lambda: None, name="search", help=_SEARCH)
    app.command(runs.resume)
    app.command(runs.control)
    app.command(runs.follow)
    app.command(runs.run)
    app.command(study.ablate)
    app.command(runs.report)
    app.command(runs.status)
    app.command(runs.compare)
    app.command(study.cost)
    app.command(study.bench)
    app.command(models.predict)
    app.command(models.import_, name="import")
    app.command(models.prune)
    app.command(models.child)
    sets = _group(synthetic=data.synthetic, check=data.check, cache=data.cache)
    app.command(sets, name="data", help="Draw people, or check a folder.")
    scores = _group(mpii=evaluation.mpii, pck=evaluation.pck, coco=evaluation.coco)
    app.command(scores, name="evaluate", help="Score anyone's predictions.")
    submissions = _group(mpii=evaluation.submit_mpii, coco=evaluation.submit_coco)
    app.command(submissions, name="submit", help="Predict a benchmark's test people and write the file it takes.")
    app.command(doctor.doctor)
    return app


def _search(arguments: Sequence[str]) -> None:
    """Read the options of a search, then run it. What is wrong with a value an Experiment itself says, in a ValueError
    that tyro would print by its own name of the place: it is raised again, for our message."""
    app, said = _app(True), io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            begin = app.cli(prog="posenfs", args=arguments)
    except (SystemExit, ValueError) as stop:
        if (error := _own(stop)) is not None:
            raise ValueError(f"{error} (posenfs search --help)") from None
        print(said.getvalue(), end="", file=sys.stderr)
        raise
    begin()


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


def _group(**commands: Callable[..., None]) -> SubcommandApp:
    group = SubcommandApp()
    for name, command in commands.items():
        group.command(command, name=name)
    return group


def _told(error: Exception) -> str | None:
    """The words of an error that a user can cause: every one of posenfs' own, and what Python says of values and files.
    None: a mistake of ours, to be seen whole."""
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which may not have been imported
        return f"out of memory on the device ({reason_of(error)})"
    own = type(error).__module__.startswith("posenfs.")
    return str(error) if own or isinstance(error, (ValueError, OSError)) else None


if __name__ == "__main__":
    main()
