"""The steppable search: one loop that trains, evaluates, records, checkpoints and goes on from where it was."""

import contextlib
import math
import shutil
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from posenfs.data.cache import CropCache
from posenfs.data.datasets.custom import mirror_warning
from posenfs.data.sample import Annotations
from posenfs.evaluation.metrics import metric_title, primary_metric, without_nan
from posenfs.evaluation.predict import Predictions, all_errors, evaluate, joined, predict
from posenfs.messages import note, unknown_entry
from posenfs.model.architecture import Architecture
from posenfs.model.collapse import collapse_signs, warnings
from posenfs.model.memory import keep_freed_memory, peak_bytes
from posenfs.model.network import PoseNFS
from posenfs.search._legacy import legacy
from posenfs.search.batches import Feed
from posenfs.search.build import build, build_model
from posenfs.search.control import Steering
from posenfs.search.distributed import ProcessGroup
from posenfs.search.experiment import Experiment
from posenfs.search.failures import NonFiniteLoss, OutOfMemory, is_out_of_memory, memory_message
from posenfs.search.forward import Forward
from posenfs.search.provenance import find_device, provenance, restore_environment
from posenfs.search.result import DECODING, FLIP, result
from posenfs.search.run_dir import Run, RunError, find_run, runs_home
from posenfs.search.saved_models import save_model
from posenfs.search.signals import Terminated
from posenfs.search.strategies import STRATEGIES, CostTerm, Synchronous

_UNSEEN = 1.0  # s after which rows are written, however few, for whoever looks on
# by folder, in this process
_OPEN: weakref.WeakValueDictionary[str, "Search"] = weakref.WeakValueDictionary()


def _check_edits(
    architectures: Mapping[str, Architecture], edits: Mapping[str, Architecture]
) -> None:
    for name, edit in edits.items():
        if name not in architectures:
            raise ValueError(f"no fabric {name!r} to edit; there are {', '.join(architectures)}")
        own = architectures[name]
        wanted, given = ([tuple(scores.shape) for scores in (a.alpha, a.beta)] for a in (own, edit))
        if wanted != given:
            raise ValueError(f"{name} has alpha and beta of {wanted}; got {given}")


class Search:
    """A search in a run folder: step it, run an epoch, or finish it. Made on a folder that already holds this
    experiment it goes on from the last checkpoint; in a notebook, making it again takes over from the old object.

    A search that is not finished holds the lock of its folder. A finished one only reads, in as many processes as one
    likes; `rewind` takes the lock again.

    Order of people and augmentation depend on (seed, epoch, index) alone, so that on the CPU, with the same versions
    and thread count, a resumed search repeats an undisturbed one bit for bit, whatever the number of workers.
    """

    metrics: dict[str, float | None]  # of the last evaluation
    _under_way: bool  # whether learning rates are those of this epoch

    def __init__(
        self,
        experiment: Experiment | str | Path | Run,
        folder: str | Path | None = None,
        device: str = "auto",
        workers: int = 0,
        progress: bool = True,
        strict: bool = False,
        cache_gb: float = 20.0,
    ):
        """`experiment`: an Experiment (its folder: reports/runs/<name>), or an existing run folder to go on with.

        People whose images are broken are left out, and named; if `strict`, they are an error. Kept crops (see
        RunConfig.crops) take up to `cache_gb`. Raises ValueError, DataError or RunError before anything is written
        where the experiment cannot be run. A run of other settings, or one that another process searches, is refused
        before any data are drawn or read.
        """
        if not isinstance(experiment, Experiment):
            run = experiment if isinstance(experiment, Run) else find_run(experiment)
            experiment, folder = run.experiment(), run.folder
        experiment = Experiment.from_json(experiment.to_json())  # types checked, lists made tuples
        if experiment.search.strategy not in STRATEGIES:
            raise ValueError(unknown_entry("strategy", experiment.search.strategy, STRATEGIES))
        self.experiment, self.config, self.workers = experiment, legacy(experiment), workers
        self.device = find_device(device)
        self.ranks = ranks = ProcessGroup(self.device)
        self.progress = progress = progress and ranks.is_main
        self.run = Run(folder or runs_home() / experiment.name, writes=ranks.is_main)
        self._key = str(self.run.folder.resolve())
        self._lock = contextlib.ExitStack()  # of the run folder
        self._closed = False
        # held by whatever thread steps, goes back, saves or lets go
        self._stepping = threading.RLock()
        try:
            # who draws people, keeps crops and makes the folder, for the others to find
            with ranks.main_first():
                self._open(strict, workers, cache_gb)
            self._begin()
        except KeyboardInterrupt as interrupt:
            self.close()
            where = f"interrupted before the first step of {self.run.folder}; the same command, or cell, begins it again"
            raise type(interrupt)(*(interrupt.args or [where])) from None
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        state = "closed" if self._closed else self.run.status().get("state", "not begun")
        score = self.metrics.get(self.primary_metric)
        return (
            f"Search({self.experiment.name}: {state}, step {self.step_number} of {self.steps}, "
            f"epoch {self.epoch_number} of {self.config.epochs}, "
            f"{metric_title(self.primary_metric)} {'-' if score is None else f'{score:.1f}'},\n"
            f"       in {self.run.folder})"
        )

    def _begin(self) -> None:
        """Take the state that the run folder has, and say in its status that the search is ready."""
        self._steering = Steering(self.run, self.ranks)
        self._bar = tqdm(disable=True)
        restore_environment(self.run.provenance(), self.device, self.ranks)
        self._go_back()
        if not (self.finished and self.run.is_finished()):
            self._take_lock()
        if not self.finished:
            self._status("ready")
        elif {"primary_metric", "interval"} <= set(self.run.metrics()):
            self.metrics = self.run.metrics()["metrics"]
            self._choose()
            self._status("finished")
            self._release_lock()
        else:
            self._finish()

    def _open(self, strict: bool, workers: int, cache_gb: float) -> None:
        """Data, network and folder; nothing is written before all of it is found sound."""
        experiment, config, kind = self.experiment, self.config, STRATEGIES[self.config.strategy]
        self.run.check_opens()
        self.run.check_holds(experiment)
        finished = self.run.is_finished()
        if self.ranks.is_main and not finished and self._key not in _OPEN:
            self.run.check_free()
        built = build(experiment, self.progress, strict)
        if not built.model.architecture_parameters() and (
            kind is not Synchronous or config.cost_budget is not None
        ):
            raise ValueError(
                f"{experiment.model} has no alpha and beta to search: strategy synchronous, without a cost budget, "
                f"trains its weights; got strategy {config.strategy}, cost budget {config.cost_budget}"
            )
        self.parts, self.valid = built.parts, built.valid
        self.feed = Feed(
            experiment,
            built.train,
            built.valid,
            self.ranks,
            self.device,
            workers,
            cache_gb,
            self.progress,
        )
        self.train = self.feed.train
        if self.device.type == "cpu":
            keep_freed_memory()
        self.primary_metric = primary_metric(self.valid)  # the metric that stands for the result
        self.model = built.model.to(self.device, memory_format=torch.channels_last)
        if config.recompute:
            if not isinstance(self.model, PoseNFS):
                raise ValueError(
                    f"runtime.recompute is for networks with heads for parts; {experiment.model} has none"
                )
            self.model.recompute = True
        self.forward = Forward(self.model, config, self.device)
        if not finished:
            self.feed.open()
        self.steps_per_epoch = self.feed.steps_per_epoch
        self.steps = self.steps_per_epoch * config.epochs
        if self.progress:
            note(f"initial weights: {built.model.initial_weights}")
        if self.ranks.is_main and (warning := mirror_warning(self.valid.skeleton)):
            tqdm.write(f"warning: {warning}", file=sys.stderr)
        people = (*self.feed.parts, self.feed.judges, self.valid)
        self.run.create(
            experiment, provenance(self.device, self.ranks, people, built.model.initial_weights)
        )
        self.run.writes = False
        if not finished:
            if (before := _OPEN.get(self._key)) is not None:
                before.close()
            self._hold()

    # -- stepping ---------------------------------------------------------------------------------------------------

    @property
    def epoch_number(self) -> int:
        """Epochs done."""
        return self.step_number // self.steps_per_epoch

    @property
    def finished(self) -> bool:
        patience = self.config.patience
        if (
            patience
            and self._scores
            and self.step_number >= self._best_step + patience * self.steps_per_epoch
        ):
            return True
        return self.step_number >= self.steps

    @property
    def _best_step(self) -> int | None:
        """That of the evaluation with the best score, the first one of equals; None before there is one."""
        return max(self._scores, key=self._scores.get, default=None)

    def step(self) -> None:
        """One training step; at an epoch's end also evaluation and checkpoint. Nothing happens once finished."""
        with self._stepping:
            self._make_sound()
            if not self.finished:
                self._step()

    def _step(self) -> None:
        self._torn = True  # until this step is done and written: whatever breaks it leaves half a step behind
        epoch, within = divmod(self.step_number, self.steps_per_epoch)
        if within == 0:
            self.strategy.begin_epoch(epoch)
        if within == 0 or not self._under_way:
            self.strategy.set_epoch(epoch)
            self._under_way = True
        train, held_out = self.feed.next()
        self.model.train()
        loss = self.strategy.step(self.forward, train, held_out, self.step_number)
        self.step_number += 1
        row = {"step": self.step_number, "epoch": epoch + 1, "lr": self.config.lr_at(epoch)}
        self._pending.append((row, loss))
        ends_epoch = self.step_number % self.steps_per_epoch == 0
        logs = self.step_number % self.config.log_every == 0 or ends_epoch
        if logs:
            self._log_architecture()
        # several do it as one
        if logs or (self.ranks.world_size == 1 and time.monotonic() - self._flushed > _UNSEEN):
            self._flush()
        if ends_epoch:
            self._evaluate()
        if ends_epoch or (
            self.config.checkpoint_every and self.step_number % self.config.checkpoint_every == 0
        ):
            self._save()
        self._torn = False
        if self.finished:
            self._finish()

    def epoch(self) -> dict[str, float | None]:
        """Run to the end of the current epoch, with a progress bar; returns the metrics of its evaluation."""
        with self._stepping:
            self._make_sound()
            end = (self.epoch_number + 1) * self.steps_per_epoch
        return self._until(end)

    def finish(self, held: bool = False) -> dict[str, float | None]:
        """Run to the end, with a progress bar; returns the metrics of the network that it found. If `held`, it waits
        for a command first (see Run.command).

        Ctrl-C (or a notebook's interrupt) finishes the step, saves a checkpoint and raises KeyboardInterrupt with the
        way to go on. Raises NonFiniteLoss where the loss is no number.
        """
        if held:
            self._steering.await_command()
        return self._until(self.steps)

    def checkpoint(self) -> None:
        """Save the full state, from which a search goes on exactly; that of a finished one is saved already."""
        with self._stepping:
            self._make_sound()
            self._save()

    def rewind(self, step: int) -> None:
        """Back to the state after a training step (0: the beginning), from which the search can go on or branch.

        What came later moves to branches/ in the run folder. Where there is no checkpoint of that step it is replayed
        from the one before, to the same state. Raises ValueError for a step that is not done yet.
        """
        with self._stepping:
            self._make_sound()
            self._alone("rewound")
            self._check_done(step)
            self._take_lock()
            self._check_done(step)  # another process may have rewound it meanwhile
            self._save()
            aside = self.run.put_aside(step)
            self._go_back()
            self._replay(step)
            self._save()
            if self.finished:  # nothing came later: its result is what it was
                self._finish()
            else:
                self._status("rewound")
        if self.progress:
            note(f"back at step {step}; what came later is in {aside}")

    def branch(
        self, step: int, name: str, edits: Mapping[str, Architecture] | None = None
    ) -> "Search":
        """Another search, beside this one in a run of that name, that goes on from a step of this one; `edits` are
        alpha and beta of one's own, by fabric. This one stays as it is.

        Raises ValueError for a step that is not done yet or an unknown fabric, RunError where the name is taken.
        """
        with self._stepping:
            self._make_sound()
            self._alone("branched")
            if not 0 <= step <= self.step_number:
                raise ValueError(
                    f"this search is at step {self.step_number}: it has no step {step} to branch from"
                )
            _check_edits(self.model.architectures(), edits or {})
            self._save()
        options = {
            "workers": self.workers,
            "progress": self.progress,
            "cache_gb": self.feed.cache_gb,
        }
        return Search.branch_of(self.run, step, name, edits, str(self.device), **options)

    @staticmethod
    def branch_of(
        run: Run,
        step: int,
        name: str,
        edits: Mapping[str, Architecture] | None = None,
        device: str = "auto",
        **options: float,
    ) -> "Search":
        """As `branch`, of a run that need not be open: from a step not after its last checkpoint. `options` as those of a
        Search."""
        checkpoints = run.checkpoints()
        if not 0 <= step <= max(checkpoints, default=0):
            raise ValueError(
                f"the last checkpoint of {run.folder} is step {max(checkpoints, default=0)}: no branch from {step}"
            )
        if run.metrics() and step == max(checkpoints, default=None):
            raise ValueError(f"this search is finished at step {step}: branch from an earlier one")
        _check_edits(
            {n: Architecture(a.alpha[0], a.beta[0]) for n, a in run.architectures()[1].items()},
            edits or {},
        )
        base = max((own for own in checkpoints if own <= step), default=None)
        scores = {} if base is None else run.load_checkpoint(base).get("scores", {})
        kept = {own for own in (base, max(scores, key=scores.get, default=None)) if own is not None}
        branch = {
            "of": str(run.folder.resolve()),
            "step": step,
            "checkpoint": base,
            "edited": sorted(edits or {}),
        }
        experiment = replace(run.experiment(), name=name)
        forked = run.fork(run.folder.with_name(name), experiment, kept & set(checkpoints), branch)
        try:
            other = Search(forked, None, device, **options)
            other._replay(step)
            if edits:
                other.model.set_architectures(edits)
                other._log_architecture()
            other._save(anew=True)
        except BaseException:  # half a branch would say of itself what is not so
            if (half := _OPEN.get(str(forked.folder.resolve()))) is not None:
                half.close()
            shutil.rmtree(forked.folder)
            raise
        return other

    def close(self) -> None:
        """Let go of the run folder, after the step under way in whatever thread; this object can no longer be stepped,
        and writes nothing more."""
        with self._stepping:
            self._closed = True
            self._release_lock()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _make_sound(self) -> None:
        """Raise RunError if the folder was let go; go back to the last checkpoint if a step was broken off."""
        self._check_open()
        if self._torn:
            self._go_back()

    @property
    def _holds_lock(self) -> bool:
        return _OPEN.get(self._key) is self

    def _hold(self) -> None:
        """Lock the folder for this search; raises RunError where another one has it, here or elsewhere."""
        self.run.writes = self.ranks.is_main
        try:
            self._lock.enter_context(self.run.lock())
        except RunError:
            self.run.writes = False
            raise
        _OPEN[self._key] = self

    def _take_lock(self) -> None:
        """Lock the folder of a search that only read until now, and read it again: others may have written there."""
        if not self._holds_lock:
            self._hold()
            self._go_back()

    def _release_lock(self) -> None:
        """Write nothing more."""
        self.run.writes = False
        self._lock.close()
        if self._holds_lock:
            _OPEN.pop(self._key)

    def _check_open(self) -> None:
        if self._closed:
            raise RunError(
                f"this search has let go of {self.run.folder}; make a new one on it: Search(...)"
            )

    def _check_done(self, step: int) -> None:
        if not 0 <= step <= self.step_number:
            raise ValueError(
                f"this search is at step {self.step_number}: it can go back to one from 0 to that, not {step}"
            )

    def _alone(self, done: str) -> None:
        if self.ranks.world_size > 1:
            raise RunError(
                f"a search in {self.ranks.world_size} processes is not {done}; stop it, and open its run in one"
            )

    def _go_back(self) -> None:
        """To the last checkpoint, or to the beginning where there is none; what was written later is forgotten."""
        checkpoints = self.run.checkpoints()
        if checkpoints:
            state = self.run.load_checkpoint(checkpoints[-1], self.device)
        else:
            start = build_model(self.experiment, self.parts).state_dict()
            state = {"step": 0, "metrics": {}, "history_rows": 0, "model": start, "strategy": None}
        self.model.load_state_dict(state["model"])
        self.strategy = STRATEGIES[self.config.strategy](
            self.model, self.config, self._cost_term(), self.ranks.average
        )
        if state["strategy"] is None:
            self.strategy.begin()
        else:
            self.strategy.load_state_dict(state["strategy"])
        self.step_number: int = state["step"]  # training steps done
        self.metrics = state["metrics"]
        self._history_rows: int = state["history_rows"]
        # by which epochs are judged, by step; of an epoch whose checkpoint somebody deleted nothing is left to choose
        self._scores = {
            step: score for step, score in state.get("scores", {}).items() if step in checkpoints
        }
        self._saved = self.step_number, self.metrics  # those of the last checkpoint
        self.feed.seek(self.step_number)
        self._under_way = False
        self._pending: list[tuple[dict, Tensor]] = []  # rows whose loss is still on the device
        self._logged: tuple[list, list] = ([], [])  # steps and architectures not yet written
        self._loss: float | None = None  # the last one read
        self._flushed: float = time.monotonic()  # when rows were last written
        self._torn = False
        self.run.truncate(self.step_number, self._history_rows)
        if not checkpoints:
            self._log_architecture()
        self._restart_clock()

    def _replay(self, step: int) -> None:
        while self.step_number < step:
            self.step()

    def _cost_term(self) -> CostTerm | None:
        if self.config.cost_budget is None:
            return None
        return CostTerm(
            self.model,
            *self.experiment.image_size,
            self.config.cost_budget,
            self.config.cost_weight,
        )

    def _flush(self) -> None:
        if self._pending:
            self._write_rows()
            self._status("running")

    def _write_rows(self) -> None:
        """Bring pending losses to the host (the one sync) and write them."""
        if not self._pending:
            return
        losses = torch.stack([loss for _, loss in self._pending]).tolist()
        rows = [{**row, "loss": loss} for (row, _), loss in zip(self._pending, losses, strict=True)]
        self._pending, self._loss = [], losses[-1]
        bad = next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), None)
        self.run.append("history.jsonl", rows[:bad])
        self._show_architecture()
        self._flushed = time.monotonic()
        self._history_rows += len(rows[:bad])
        if bad is not None:
            self._stop_non_finite(f"the loss is {losses[bad]}", rows[bad]["step"])
        self._log_timing()

    def _stop_non_finite(self, what: str, step: int) -> None:
        good = self.run.checkpoints()
        kept = (
            f"the last good checkpoint is step {good[-1]} in {self.run.folder}"
            if good
            else "there is no checkpoint yet"
        )
        message = (
            f"{what} at step {step} (epoch {(step - 1) // self.steps_per_epoch + 1}); {kept}. "
            f"Try a learning rate below {self.config.lr:g}, or float32 precision, under another name"
        )
        self._status("failed", error=message)
        raise NonFiniteLoss(message)

    def _log_architecture(self) -> None:
        steps, architectures = self._logged
        steps.append(self.step_number)
        architectures.append({name: a.detach() for name, a in self.model.architectures().items()})

    def _show_architecture(self) -> None:
        """What was logged since the last checkpoint, and alpha and beta as they are now, to whoever looks on."""
        steps, architectures = self._logged
        if not steps or steps[-1] != self.step_number:
            now = {name: a.detach() for name, a in self.model.architectures().items()}
            steps, architectures = [*steps, self.step_number], [*architectures, now]
        self.run.write_architectures_since(steps, architectures)

    def _log_timing(self) -> None:
        now = time.perf_counter()
        seconds, images = (
            now - self._clock,
            (self.step_number - self._clock_step) * self.config.batch_size,
        )
        row = {
            "step": self.step_number,
            "images_per_s": round(images / seconds, 2),
            "wait_share": round((self.feed.seconds - self._waited) / seconds, 4),
            "peak_mb": round(peak_bytes(self.device) / 2**20),
            "time": time.time(),
        }
        self.run.append("timing.jsonl", [row])
        self._restart_clock()

    def _restart_clock(self) -> None:
        self._clock, self._waited, self._clock_step = (
            time.perf_counter(),
            self.feed.seconds,
            self.step_number,
        )

    def _evaluate(self) -> None:
        self._bar.set_description("evaluate")
        self._measure()
        judged, score = {}, self.metrics.get(self.primary_metric)
        if self.config.judged:
            found, _ = evaluate(
                self._predict(self.feed.judges, self.feed.judges_cache), self.feed.judges
            )
            judged = {"judged": (score := without_nan(found).get(self.primary_metric))}
        if score is not None:
            self._scores[self.step_number] = score
        signs = {
            name: collapse_signs(f.architecture, f.spec) for name, f in self.model.fabrics().items()
        }
        watched = (
            {"architecture": {name: asdict(own) for name, own in signs.items()}} if signs else {}
        )
        row = {
            "step": self.step_number,
            "epoch": self.epoch_number,
            **self.metrics,
            **judged,
            **watched,
        }
        self.run.append("history.jsonl", [row])
        for warning in warnings(signs) if self.progress else []:
            tqdm.write(f"warning, epoch {self.epoch_number}: {warning}", file=sys.stderr)
        self._history_rows += 1
        self._restart_clock()

    def _measure(self) -> None:
        """How good the network is on the validation people: metrics and errors."""
        predictions = self._predict(self.valid, self.feed.valid_cache)
        metrics, errors = evaluate(predictions, self.valid)
        self.metrics = without_nan(metrics)
        self.run.write_errors(errors, all_errors(predictions, self.valid))

    def _predict(self, people: Annotations, cache: CropCache | None) -> Predictions:
        """Those of all, each process having predicted some."""
        rows = np.arange(len(people))[self.ranks.rows(len(people))]
        part, own = people.select(rows), None if cache is None else cache.select(rows)
        with self.forward.autocast():
            found = predict(
                self.model,
                part,
                self.experiment.image_size,
                flip=FLIP,
                workers=self.workers,
                decoding=DECODING,
                cache=own,
            )
        return joined(self.ranks.gather(found))

    def _save(self, anew: bool = False) -> None:
        self._flush()
        state = {
            "step": self.step_number,
            "history_rows": self._history_rows,
            "model": self.model.state_dict(),
            "strategy": self.strategy.state_dict(),
            "metrics": self.metrics,
            "scores": self._scores,
        }
        finite = torch.stack(
            [t.isfinite().all() for t in state["model"].values() if t.is_floating_point()]
        )
        if not finite.all():  # the loss is that before the update, and so does not tell
            self._stop_non_finite("a weight is not finite", self.step_number)
        self.run.write_architectures(*self._logged)
        self._logged = ([], [])
        self.run.write_checkpoint(self.step_number, state, anew)
        self._saved = self.step_number, self.metrics
        steps, tenth = self.run.checkpoints(), 10 * self.steps_per_epoch
        best = [self._best_step] if self._scores else []
        # nothing else knows how that began, and what was edited
        branch = self.run.provenance().get("branch", {})
        first = [branch.get("checkpoint"), branch.get("step")]
        worth = [
            *steps[-self.config.keep_checkpoints :],
            *(step for step in steps if step and step % tenth == 0),
        ]
        self.run.thin_checkpoints(
            worth, [self.step_number, *best, *first], self.config.checkpoint_gb
        )

    def _choose(self) -> bool:
        """A search with patience has found its best epoch's network; whether that is another one than the last."""
        if not (self.config.patience and self._scores) or self._best_step == self.step_number:
            return False
        self.model.load_state_dict(self.run.load_checkpoint(self._best_step, self.device)["model"])
        return True

    def _finish(self) -> None:
        if self._choose():
            self._measure()
        if not self.ranks.is_main:
            self._release_lock()
            return
        chosen = {}
        if self.config.patience and self._scores:
            chosen["chosen"] = {
                "epoch": self._best_step // self.steps_per_epoch,
                "epochs": self.epoch_number,
                "score": self._scores[self._best_step],
                "judged_by": self.feed.judges.name,
                "judged_by_those_reported_on": not self.config.judged,
            }
        found = result(
            self.metrics,
            self.run.errors,
            self.train,
            self.valid,
            self.model,
            self.experiment.image_size,
        )
        save_model(self.run.folder, self.model, self.experiment)
        self.run.write_json("metrics.json", {**found, **chosen})
        self._status("finished")
        self._release_lock()

    def _until(self, step: int) -> dict[str, float | None]:
        with self._stepping:
            self._make_sound()
            self._restart_clock()
        step = min(step, self.steps)
        size = self.config.batch_size
        with self._steering.interruptible(), self._failing_openly(), self._progress_bar() as bar:
            while (
                self.step_number < step
                and not self.finished
                and self._steering.restore_environment(self.checkpoint, self._say, self.rewind)
            ):
                self.step()
                bar.set_description(
                    f"epoch {min(self.epoch_number + 1, self.config.epochs)}/{self.config.epochs}",
                    False,
                )
                bar.set_postfix_str(self._primary_metric(), False)
                bar.update(size)
            stopped = self.ranks.broadcast(self._steering.stop) and not self.finished
            if stopped:
                with self._stepping:
                    self._save()
                    self._status("interrupted")
                # no rank ends before rank 0 has saved: torchrun would end that too
                self.ranks.broadcast(None)
        if stopped:
            where = (
                f"stopped after step {self.step_number} of {self.steps}; saved in {self.run.folder}"
            )
            raise self._interrupt(f"{where}. {self._way_on}, goes on from here")
        return self.metrics

    @property
    def _way_on(self) -> str:
        return f"`posenfs resume {self.run.argument}`, or the same command or cell"

    def _interrupt(self, message: str) -> KeyboardInterrupt:
        """What ends a search that a signal or a command stopped; rank 0 alone has a message."""
        kind = Terminated if self._steering.terminated else KeyboardInterrupt
        return kind(*([message] if self.ranks.is_main else []))

    def _broken_off(self, error: BaseException) -> BaseException:
        """What a step raises that was broken off; the status names the last checkpoint, where the run goes on."""
        step, metrics = self._saved
        with contextlib.suppress(OSError):
            self._status(
                "interrupted", step=step, epoch=step // self.steps_per_epoch, metrics=metrics
            )
        if isinstance(error, KeyboardInterrupt) and error.args:
            return error
        saved = f"step {step} of {self.steps}, saved in {self.run.folder}"
        return self._interrupt(
            f"broken off after step {self.step_number}. {self._way_on}, goes on from {saved}"
        )

    def _primary_metric(self) -> str:
        words = [f"step {self.step_number}"]
        if self._loss is not None:
            words.append(f"loss {self._loss:.3f}")
        if (score := self.metrics.get(self.primary_metric)) is not None:
            words.append(f"{metric_title(self.primary_metric)} {score:.1f}")
        return " ".join(words)

    @contextlib.contextmanager
    def _progress_bar(self) -> Iterator[tqdm]:
        size = self.config.batch_size
        with tqdm(
            total=self.steps * size,
            initial=self.step_number * size,
            unit="img",
            unit_scale=True,
            disable=not self.progress,
            mininterval=1.0,
        ) as self._bar:
            yield self._bar
            self._bar.refresh()

    @contextlib.contextmanager
    def _failing_openly(self) -> Iterator[None]:
        try:
            yield
        except NonFiniteLoss:
            raise
        except BaseException as error:
            words = str(error)
            # a scheduler's SIGTERM reaches worker processes too, and without them the step cannot end
            if isinstance(error, KeyboardInterrupt) or (
                self._steering.stop and "DataLoader worker" in words
            ):
                raise self._broken_off(error) from None
            if short := is_out_of_memory(error):
                words = memory_message(
                    self.model, self.experiment, self.device, self.ranks.world_size
                )
                words = f"{words}; what was saved is in {self.run.folder}"
            with contextlib.suppress(OSError):  # a full disk must not hide what went wrong first
                self._status("failed", error=f"{type(error).__name__}: {words}")
            if short:
                raise OutOfMemory(words) from error
            raise

    def _say(self, state: str, wrong: str) -> None:
        """The state and what is wrong with the last command, in one status: whoever gave it reads the first."""
        with self._stepping:
            self._check_open()
            self._write_rows()
            self._status(state, **({"error": wrong} if wrong else {}))

    def _status(self, state: str, **fields: object) -> None:
        """Write status.json; `fields` add to what this search says of itself, or take its place."""
        status = {
            "state": state,
            "step": self.step_number,
            "steps": self.steps,
            "epoch": self.epoch_number,
            "epochs": self.config.epochs,
            "primary_metric": self.primary_metric,
            "metrics": self.metrics,
            "command": self._steering.heeded,
        }
        self.run.write_status(**{**status, **fields})
