"""What holds or ends a search from outside: the commands in its run folder, Ctrl-C and SIGTERM."""

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType

from posenfs.search.distributed import ProcessGroup
from posenfs.search.run_dir import Run, RunError
from posenfs.search.signals import handlers

# s between looks at the commands while paused, and between signs of life
_PATIENCE, _HEARTBEAT = (
    0.05,
    5.0,
)


class Steering:
    """`heeded` is the number of the last command that is being done, a checkpoint once it is written; those of before are
    not for this search. `stop` is whether the search shall end, and `terminated` whether SIGTERM is the reason. Rank 0
    decides for all ranks."""

    def __init__(self, run: Run, ranks: ProcessGroup):
        self.run, self.ranks = run, ranks
        self.stop = self.terminated = False
        self.heeded: int = ranks.broadcast(run.asked()["number"])
        self._allowed: int | None = None  # steps until it pauses; none: it does not

    def hold(self) -> None:
        """Pause before the next step."""
        self._allowed = 0

    def await_command(self) -> None:
        """Pause before the next step; commands given until now are not for it."""
        self.hold()
        self.heeded = self.ranks.broadcast(self.run.asked()["number"])

    def restore_environment(
        self,
        save: Callable[[], None],
        say: Callable[[str, str], None],
        rewind: Callable[[int], None],
    ) -> bool:
        """Do as the last command says, waiting here while paused; whether to go on with a step.

        `save` writes a checkpoint, `rewind` goes back to a step, `say` tells the search's state and what is wrong with
        the last command: one that cannot be done leaves the search as it is, paused.
        """
        said, wrong = -math.inf, ""  # when we last said that we wait
        while True:
            asked, stop = self.ranks.broadcast((self.run.asked(), self.stop))
            if asked["number"] != self.heeded:
                wrong = ""
                match asked["command"]:
                    case "pause":
                        self.hold()
                    case "resume":
                        self._allowed = None
                    case "step":
                        self._allowed = asked["steps"]
                    case "checkpoint":
                        save()
                    case "rewind":
                        self.hold()
                        try:
                            rewind(asked["steps"])
                        except (ValueError, RunError) as error:
                            wrong = str(error)
                    case "stop":
                        self.stop = stop = True
                self.heeded = asked["number"]
                say("paused" if self._allowed == 0 else "running", wrong)
                said = time.monotonic()
            if stop or self._allowed != 0:
                self._allowed = None if self._allowed is None else self._allowed - 1
                return not stop
            if time.monotonic() - said > _HEARTBEAT:
                say("paused", wrong)
                said = time.monotonic()
            time.sleep(_PATIENCE)

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM end the search after the step under way, never inside it.

        A second Ctrl-C breaks the step off. Further ones change nothing, so that the status is still written.
        """
        self.stop = self.terminated = False
        interrupts = 0

        def interrupt(number: int, frame: FrameType | None) -> None:
            nonlocal interrupts
            interrupts += 1
            if interrupts == 2:
                raise KeyboardInterrupt
            self.stop = True

        def terminate(number: int, frame: FrameType | None) -> None:
            self.stop = self.terminated = True

        with handlers({signal.SIGINT: interrupt, signal.SIGTERM: terminate}):
            yield
