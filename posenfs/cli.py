"""The command `posenfs`: what it can be told is in posenfs/commands, a file for each subject."""

import os
import sys
from collections.abc import Callable, Sequence

from tyro.extras import SubcommandApp

from posenfs.commands import data, doctor, evaluation, models, runs, study

_SEARCH = """Search part-specific fabrics, in the run folder reports/runs/<name>; a run begun before goes on."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error a user can cause is one message on stderr and exit code 1."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        _app("search" in arguments[:1]).cli(prog="posenfs", args=arguments)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt as interrupt:
        from posenfs.search.ranks import among_others

        if not among_others() or str(interrupt):
            print(f"\nposenfs: {interrupt or 'interrupted'}", file=sys.stderr)
        sys.exit(130)
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

        app.command(search)
    else:
        app.command(lambda: None, name="search", help=_SEARCH)
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


def _group(**commands: Callable[..., None]) -> SubcommandApp:
    group = SubcommandApp()
    for name, command in commands.items():
        group.command(command, name=name)
    return group


def _told(error: Exception) -> str | None:
    """The words of an error that a user can cause: every one of posenfs' own, and what Python says of values and files.
    None: a mistake of ours, to be seen whole."""
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which may not have been imported
        return f"out of memory on the device ({str(error).splitlines()[0]})"
    own = type(error).__module__.startswith("posenfs.")
    return str(error) if own or isinstance(error, (ValueError, OSError)) else None


if __name__ == "__main__":
    main()
