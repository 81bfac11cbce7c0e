import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import types
from dataclasses import replace

import numpy as np
import pytest
import torch
from filelock import FileLock

from posenfs.body.skeleton import MPII
from posenfs.data.datasets.catalogue import DataSpec
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.files import atomic_path
from posenfs.data.sample import DataError
from posenfs.model.space import FabricSpec
from posenfs.search import opening, trainer
from posenfs.search.checkpoints import RunError
from posenfs.search.control import Command, CommandFile
from posenfs.search.detached import detach
from posenfs.search.failures import NonFiniteLoss, OutOfMemory
from posenfs.search.run_dir import RunDir
from posenfs.search.run_writer import dump_json
from posenfs.search.saved_models import load_model
from posenfs.search.session import Search
from tests.sweeps import sweep


def search(experiment, folder, **kwargs):
    return Search(experiment, folder, device="cpu", progress=False, **kwargs)


@pytest.fixture(scope="module")
def undisturbed(tiny, tmp_path_factory):
    """A search from beginning to end: what every disturbed one must repeat."""
    whole = search(tiny, tmp_path_factory.mktemp("whole"))
    whole.finish()
    whole.close()
    return whole


@pytest.fixture(scope="module")
def from_images(tiny):
    """The same, but for every crop its image is decoded: what worker processes are for."""
    return replace(tiny, training=replace(tiny.training, crops="plain"))


@pytest.fixture(scope="module")
def undisturbed_from_images(from_images, tmp_path_factory):
    whole = search(from_images, tmp_path_factory.mktemp("whole"))
    whole.finish()
    whole.close()
    return whole


def same_run(folder, undisturbed):
    ours, theirs = RunDir(folder), undisturbed.run
    for name in ("history.jsonl", "config.json"):
        assert (ours.folder / name).read_bytes() == (theirs.folder / name).read_bytes(), name
    a, b = (run.checkpoints.load(run.checkpoints.steps()[-1])["model"] for run in (ours, theirs))
    assert all(a[key].equal(b[key]) for key in b)
    (steps_a, arch_a), (steps_b, arch_b) = ours.architectures(), theirs.architectures()
    assert steps_a.tolist() == steps_b.tolist()
    assert all(
        arch_a[n].alpha.equal(arch_b[n].alpha) and arch_a[n].beta.equal(arch_b[n].beta)
        for n in arch_b
    )


def test_a_search_learns_and_leaves_everything_in_its_folder(undisturbed, tiny):
    run = undisturbed.run
    assert run.experiment() == tiny
    history = run.history()
    losses = [row["loss"] for row in history if "loss" in row]
    assert len(losses) == undisturbed.steps
    assert losses[-1] < losses[0]
    evaluations = [row for row in history if "pckh@0.5" in row]
    assert [row["epoch"] for row in evaluations] == [1, 2]
    steps, architectures = run.architectures()
    assert steps[0] == 0 and steps[-1] == undisturbed.steps
    assert list(architectures) == [part.name for part in undisturbed.model.parts]
    for architecture in architectures.values():
        assert architecture.alpha.shape == (len(steps), 1, 4) and architecture.beta.shape == (
            len(steps),
            6,
            3,
        )
        assert architecture.alpha[0].abs().max() == 0 and architecture.alpha[-1].abs().max() > 0
        assert architecture.beta[-1].abs().max() > 0
    assert run.status()["state"] == "finished"
    assert run.metrics()["metrics"] == {
        k: v for k, v in evaluations[-1].items() if k.startswith("pck")
    }
    assert run.errors().shape == (len(undisturbed.valid), 16)
    means = {name: value for name, value in run.metrics()["metrics"].items() if "/" not in name}
    intervals = run.metrics()["intervals"]
    assert set(intervals) == set(means) and len(means) == 6
    for name, value in means.items():
        assert intervals[name]["value"] == pytest.approx(value)
        assert intervals[name]["low"] <= value <= intervals[name]["high"]
        assert 0 < intervals[name]["people"] <= len(undisturbed.valid)
    assert run.provenance()["versions"]["torch"] == torch.__version__.split("+")[0]
    assert {row["step"] for row in run.timing()} <= set(range(undisturbed.steps + 1))


def test_workers_change_nothing(undisturbed_from_images, from_images, tmp_path):
    other = search(from_images, tmp_path, workers=2)
    other.finish()
    same_run(tmp_path, undisturbed_from_images)


def test_kept_crops_that_went_are_made_again(undisturbed, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("POSENFS_CACHE", str(tmp_path / "kept"))
    running = search(tiny, tmp_path / "run")
    running.epoch()
    running.close()
    shutil.rmtree(tmp_path / "kept")
    search(tiny, tmp_path / "run").finish()
    same_run(tmp_path / "run", undisturbed)
    shutil.rmtree(tmp_path / "kept")
    assert search(tiny, tmp_path / "run").finished and not (tmp_path / "kept").exists()


@pytest.mark.parametrize("steps", sweep([0, 1, 3, 4, 6], fast=[0, 3, 6]))
def test_a_killed_search_resumes_to_the_same_files(undisturbed, tiny, tmp_path, steps):
    """Left without a word after some steps (3 and 6 end epochs), as by a kill between two steps."""
    killed = search(tiny, tmp_path)
    per_epoch = killed.steps_per_epoch
    for _ in range(round(steps / 3 * per_epoch)):
        killed.step()
    killed.close()
    if not killed.finished:  # which has written its last line
        with open(tmp_path / "history.jsonl", "a") as file:
            file.write('{"step": 99, "ep')  # a torn last line
    resumed = search(tiny, tmp_path)
    resumed.finish()
    same_run(tmp_path, undisturbed)


def test_a_process_killed_in_mid_epoch_resumes_to_the_same_files(undisturbed, tiny, tmp_path):
    (tmp_path / "experiment.json").write_text(tiny.to_json())
    code = f"""
import os, signal, torch
from pathlib import Path
torch.set_num_threads(1)
from posenfs.search.session import Search
from posenfs.search.experiment import Experiment
experiment = Experiment.from_json(Path({str(tmp_path / "experiment.json")!r}).read_text())
search = Search(experiment, {str(tmp_path / "run")!r}, device="cpu", progress=False)
search.epoch()
search.step()
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    search(tiny, tmp_path / "run").finish()
    same_run(tmp_path / "run", undisturbed)


def test_interrupt_finishes_the_step_saves_and_goes_on(undisturbed, tiny, tmp_path):
    running = search(tiny, tmp_path)
    step = running.trainer.train_step

    def step_and_interrupt():
        os.kill(os.getpid(), signal.SIGINT)  # arrives in the middle of a step
        return step()

    running.trainer.train_step = step_and_interrupt
    with pytest.raises(KeyboardInterrupt, match=r"stopped after step 1 of .* continues from here"):
        running.finish()
    assert running.run.status()["state"] == "interrupted"
    assert running.run.checkpoints.steps() == [1]
    search(tiny, tmp_path).finish()
    same_run(tmp_path, undisturbed)


@pytest.mark.parametrize(
    "stop", sweep([KeyboardInterrupt, DataError, RuntimeError], fast=[KeyboardInterrupt])
)
def test_a_step_broken_off_half_way_is_forgotten(undisturbed, tiny, tmp_path, stop):
    """A second Ctrl-C, or any error, between the update and its record: the next call goes back and repeats it."""
    for broken_step in (1, 5):
        running = search(tiny, tmp_path / str(broken_step))
        for _ in range(broken_step - 1):
            running.step()
        step = running.trainer.train_step

        def break_off(step=step):
            step()
            raise stop("half way")

        running.trainer.train_step = break_off
        with pytest.raises(stop):
            running.finish()
        del running.trainer.train_step
        running.finish()
        same_run(tmp_path / str(broken_step), undisturbed)


def test_what_a_kill_leaves_half_written_is_swept_away(undisturbed, tiny, tmp_path):
    killed = search(tiny, tmp_path)
    killed.epoch()
    killed.close()
    for name in ("architecture/00000099.npz", "status.json"):
        with contextlib.suppress(InterruptedError), atomic_path(tmp_path / name) as half:
            raise InterruptedError
        half.write_bytes(b"half")
    (tmp_path / "checkpoints" / ".00000099").mkdir()
    others = {
        tmp_path / ".status.json.swp",
        tmp_path / "checkpoints" / ".DS_Store",
        tmp_path / ".ipynb_checkpoints.d",
    }
    for path in others:  # of editors, file managers, Jupyter
        path.mkdir() if path.suffix == ".d" else path.touch()
    assert len(RunDir(tmp_path).architectures()[0]) > 1  # a reader never sees them
    search(tiny, tmp_path).finish()
    assert {path for path in tmp_path.rglob(".*") if path.name != ".lock"} == others
    same_run(tmp_path, undisturbed)


@pytest.mark.parametrize("call", sweep([1, 4, 7, 10, 13, 15, 17], fast=[1, 10, 17]))
def test_a_full_disk_is_said_and_once_there_is_room_it_goes_on(
    call, undisturbed, tiny, tmp_path, monkeypatch
):
    """Every write from some moment on fails; afterwards the same object, or the same command, ends as undisturbed."""
    synced, calls = os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) >= call:
            raise OSError(28, "No space left on device")
        synced(handle)

    monkeypatch.setattr(os, "fsync", full)
    running = None
    with pytest.raises((OSError, RunError), match="[Nn]o space (is )?left"):
        running = search(tiny, tmp_path)
        running.finish()
    monkeypatch.setattr(os, "fsync", synced)
    again = running if running is not None and call % 2 else search(tiny, tmp_path)
    again.finish()
    same_run(tmp_path, undisturbed)
    again.close()


def test_other_data_are_not_gone_on_with(tiny, drawn, tmp_path):
    shutil.copytree(drawn, tmp_path / "data")
    own = replace(tiny, data=DataSpec("mpii", str(tmp_path / "data")))
    search(own, tmp_path / "run").close()
    path = tmp_path / "data" / "annot" / "train.json"
    entries = json.loads(path.read_text())
    entries[0]["joints"][0][0] += 1
    path.write_text(json.dumps(entries))
    with pytest.raises(RunError, match="the data are not those that .* began with"):
        search(own, tmp_path / "run")


def test_what_changed_since_is_said_and_threads_are_restored(tiny, tmp_path, capsys):
    search(tiny, tmp_path).close()
    run, threads = RunDir(tmp_path), torch.get_num_threads()
    then = run.provenance()
    dump_json(
        run.folder / "provenance.json",
        {**then, "threads": threads + 1, "versions": {**then["versions"], "torch": "1.0"}},
    )
    try:
        search(tiny, tmp_path).close()
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
    said = capsys.readouterr().err
    assert f"{threads + 1} threads, as this run began with" in said and "torch 1.0 -> " in said


def test_parts_in_another_order_are_another_experiment(tiny, tmp_path):
    left = tuple(k for k in MPII.keypoints if "right" not in k)
    right = tuple(k for k in MPII.keypoints if "right" in k)
    search(replace(tiny, parts={"left": left, "right": right}), tmp_path).close()
    with pytest.raises(RunError, match="holds another experiment"):
        search(replace(tiny, parts={"right": right, "left": left}), tmp_path)


def test_an_update_that_explodes_is_not_saved(tiny, tmp_path):
    running = search(tiny, tmp_path)
    running.epoch()
    good, step = running.step_number, running.trainer.train_step

    def explode():
        loss = step()
        if running.step_number == running.steps:
            with torch.no_grad():
                running.model.heads[0].vectors.bias.fill_(float("inf"))
        return loss

    running.trainer.train_step = explode
    with pytest.raises(
        NonFiniteLoss, match=rf"a weight is not finite at step {running.steps} .*step {good} in"
    ):
        running.finish()
    assert running.run.checkpoints.steps() == [good]


def test_a_broken_checkpoint_is_named(tiny, tmp_path):
    running = search(tiny, tmp_path)
    running.epoch()
    running.close()
    (state,) = tmp_path.glob("checkpoints/*/state.pt")
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"state.pt cannot be read: .*delete its folder"):
        search(tiny, tmp_path)


def test_interrupting_the_whole_terminal_spares_the_workers(
    undisturbed_from_images, from_images, tmp_path
):
    """Ctrl-C reaches every process of a terminal: worker processes leave it to the search."""
    (tmp_path / "experiment.json").write_text(from_images.to_json())
    (tmp_path / "search.py").write_text(f"""
import os, signal, sys, torch
from pathlib import Path
from posenfs.search.session import Search
from posenfs.search.experiment import Experiment

if __name__ == "__main__":
    torch.set_num_threads(1)
    experiment = Experiment.from_json(Path({str(tmp_path / "experiment.json")!r}).read_text())
    search = Search(experiment, {str(tmp_path / "run")!r}, device="cpu", workers=1, progress=False)
    step = search.trainer.train_step
    def step_and_interrupt():
        if search.step_number == 1:
            os.killpg(0, signal.SIGINT)
        return step()
    search.trainer.train_step = step_and_interrupt
    try:
        search.finish()
    except KeyboardInterrupt as interrupt:
        print(interrupt)
    search.finish()
""")
    command = [sys.executable, str(tmp_path / "search.py")]
    done = subprocess.run(command, capture_output=True, text=True, start_new_session=True)
    assert done.returncode == 0, done.stderr
    assert "stopped after step 2" in done.stdout
    same_run(tmp_path / "run", undisturbed_from_images)


def test_stepping_is_running(undisturbed, tiny, tmp_path):
    stepped = search(tiny, tmp_path)
    thread = threading.Thread(
        target=lambda: [stepped.step() for _ in range(stepped.steps + 3)]
    )  # as a panel would
    thread.start()
    thread.join()
    assert stepped.finished
    same_run(tmp_path, undisturbed)


@pytest.mark.parametrize(
    "meanwhile",
    [
        Search.checkpoint,
        Search.epoch,
        lambda own: own.rewind(1),
        lambda own: own.branch(1, "side").close(),
    ],
    ids=["checkpoint", "epoch", "rewind", "branch"],
)
def test_what_another_thread_asks_during_a_step_waits_for_its_end(
    meanwhile, undisturbed, tiny, tmp_path
):
    running = search(tiny, tmp_path / "run")
    step, go_back = running.trainer.train_step, running.recorded.restore
    entered, go_on, inside, torn = threading.Event(), threading.Event(), [], []

    def long_step():
        inside.append("a step")
        entered.set()
        go_on.wait(60)
        loss = step()
        inside.clear()
        return loss

    def watched():
        torn.extend(inside)
        go_back()

    running.trainer.train_step, running.recorded.restore = long_step, watched
    stepping, asking = (
        threading.Thread(target=running.step),
        threading.Thread(target=meanwhile, args=(running,)),
    )
    stepping.start()
    assert entered.wait(60)
    asking.start()
    asking.join(0.2)  # if it does not wait, it has gone back by then
    go_on.set()
    stepping.join()
    asking.join()
    assert not torn
    running.finish()
    same_run(tmp_path / "run", undisturbed)


def test_whoever_gave_a_command_reads_at_once_what_is_wrong_with_it(tiny, tmp_path):
    running = search(tiny, tmp_path)
    step, asked, told = running.trainer.train_step, [], []
    commands, writer = CommandFile(tmp_path), running._writer
    write = writer.write_status

    def step_and_ask():
        loss = step()
        if not asked:
            asked.append(commands.send(Command("rewind", 99)))
        return loss

    def write_and_stop(**fields):
        told.append(fields)
        write(**fields)
        if "error" in fields:
            commands.send(Command("stop"))

    running.trainer.train_step, writer.write_status = step_and_ask, write_and_stop
    with pytest.raises(KeyboardInterrupt):
        running.finish()
    assert [fields.get("error", "")[:25] for fields in told if fields["command"] == asked[0]] == [
        "this search is at step 1:"
    ]


def test_epoch_by_epoch(undisturbed, tiny, tmp_path):
    stepped = search(tiny, tmp_path)
    assert stepped.epoch()["pckh@0.5"] is not None
    assert stepped.epoch_number == 1 and not stepped.finished
    stepped.epoch()
    same_run(tmp_path, undisturbed)


def test_a_finished_run_is_loaded_not_repeated(undisturbed, tiny):
    before = (undisturbed.run.folder / "history.jsonl").stat().st_mtime_ns
    again = search(tiny, undisturbed.run.folder)
    assert again.finish() == undisturbed.metrics
    assert again.finished
    history = [row for row in again.run.history() if "loss" in row]
    assert len(history) == again.steps
    again.close()
    assert before <= (undisturbed.run.folder / "history.jsonl").stat().st_mtime_ns


def test_a_non_finite_loss_stops_at_its_step_and_keeps_the_checkpoint(tiny, tmp_path):
    running = search(tiny, tmp_path)
    running.epoch()
    good = running.step_number
    with torch.no_grad():
        running.model.heads[0].vectors.bias.fill_(float("nan"))
    with pytest.raises(
        NonFiniteLoss, match=rf"loss is nan at step {good + 1} \(epoch 2\).*step {good} in"
    ):
        running.finish()
    assert running.run.checkpoints.steps() == [good]
    assert running.run.status()["state"] == "failed"
    assert max(row["step"] for row in running.run.history()) == good


@pytest.mark.parametrize(
    ("error", "room", "said"),
    [
        pytest.param(
            torch.OutOfMemoryError("CUDA out of memory"),
            2**40,
            "other processes hold a part.*accumulate 2 .*batch-size 3",
            marks=pytest.mark.slow,
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            95 * 2**20,
            "accumulate 2 .*or --training.batch-size",
        ),
        pytest.param(MemoryError(), 2**20, "not even one image fits", marks=pytest.mark.slow),
    ],
)
def test_out_of_memory_says_what_would_fit_and_keeps_the_run(
    error, room, said, undisturbed, tiny, tmp_path, monkeypatch
):
    monkeypatch.setattr("psutil.virtual_memory", lambda: types.SimpleNamespace(total=room))
    running = search(tiny, tmp_path)
    running.epoch()
    step = running.trainer.train_step

    def falls_short():
        raise error

    running.trainer.train_step = falls_short
    with pytest.raises(
        OutOfMemory, match=rf"a step with 6 images of 64 x 64 px takes about .*{said}"
    ):
        running.finish()
    assert (
        running.run.status()["state"] == "failed"
        and "a step with 6 images" in running.run.status()["error"]
    )
    running.trainer.train_step = step
    running.finish()
    same_run(tmp_path, undisturbed)


def test_an_image_that_breaks_during_a_search_stops_it_with_its_name(tiny, drawn, tmp_path):
    shutil.copytree(drawn, tmp_path / "data")
    data = DataSpec("mpii", str(tmp_path / "data"))
    training = replace(tiny.training, crops="plain")
    running = search(replace(tiny, data=data, training=training), tmp_path / "run")
    broken = sorted((tmp_path / "data" / "images").glob("train*"))[4]
    broken.write_bytes(broken.read_bytes()[:900])
    with pytest.raises(DataError, match=rf"{broken.name} \(900 bytes\) is not a whole image"):
        running.finish()
    status = running.run.status()
    assert status["state"] == "failed" and broken.name in status["error"]


def test_people_of_broken_images_are_left_out_and_every_result_says_so(tiny, drawn, tmp_path):
    data = shutil.copytree(drawn, tmp_path / "data")
    for name in ("train_000004.jpg", "valid_000002.jpg"):
        (data / "images" / name).write_bytes(b"no image")
    experiment = replace(
        tiny, data=DataSpec("mpii", str(data)), training=replace(tiny.training, epochs=1)
    )
    with pytest.raises(DataError, match=r"train_000004.jpg.*--strict"):
        Search(experiment, tmp_path / "run", progress=False, strict=True)
    assert not (tmp_path / "run").exists()
    running = search(experiment, tmp_path / "run")
    running.finish()
    left_out = {
        name: found["broken or missing image"]
        for name, found in running.run.metrics()["left_out"].items()
    }
    assert set(left_out) == {"mpii train", "mpii valid"}
    recorded = running.run.provenance()["data"]
    assert left_out == {
        name: data["left_out"]["broken or missing image"] for name, data in recorded.items()
    }
    lost = left_out["mpii valid"]
    assert running.run.metrics()["people"] + lost == len(read_mpii(drawn, "valid"))
    (
        data / "images" / "valid_000003.jpg"
    ).unlink()  # and a set that lost more people is another set
    with pytest.raises(RunError, match="data are not those"):
        search(experiment, tmp_path / "run")


def test_bfloat16_learns_too(tiny, tmp_path):
    running = search(replace(tiny, training=replace(tiny.training, precision="bfloat16")), tmp_path)
    running.finish()
    losses = [row["loss"] for row in running.run.history() if "loss" in row]
    assert losses[-1] < losses[0]


def test_learning_rate_drops_at_the_papers_epochs_scaled(tiny):
    training = replace(tiny.training, epochs=200)
    rates = [training.lr_at(epoch) for epoch in range(200)]
    assert [e for e in range(1, 200) if rates[e] != rates[e - 1]] == [90, 120, 150]
    assert rates[-1] == pytest.approx(1e-3 * 0.25**3)


def test_synchronous_moves_w_alpha_and_beta(tiny, tmp_path):
    stepped = search(tiny, tmp_path)
    before = {name: p.detach().clone() for name, p in stepped.model.named_parameters()}
    stepped.step()
    moved = {name for name, p in stepped.model.named_parameters() if not p.equal(before[name])}
    architecture = {id(p) for p in stepped.model.architecture_parameters()}
    for parameter in stepped.model.parameters():
        if id(parameter) in architecture:
            # Adam's first step is the learning rate against the gradient's sign
            torch.testing.assert_close(
                parameter.abs(), torch.full_like(parameter, 1e-3), rtol=2e-2, atol=0
            )
    assert len(moved) > 0.9 * len(before)


# -- what cannot be run is refused before anything is written ------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda e: replace(e, parts=4), ValueError, "P = 4"),
        (
            lambda e: replace(e, search=replace(e.search, strategy="magic")),
            ValueError,
            "unknown strategy 'magic'.*synchronous",
        ),
        (
            lambda e: replace(e, training=replace(e.training, batch_size=500)),
            ValueError,
            "fewer than one batch of 500; lower --training.batch-size",
        ),
        (
            lambda e: replace(
                e, model="simple_baseline_50", search=replace(e.search, strategy="first_order")
            ),
            ValueError,
            "simple_baseline_50 has no alpha and beta to search: .* got strategy first_order, cost budget None",
        ),
        (
            lambda e: replace(
                e, model="simple_baseline_50", search=replace(e.search, cost_budget=1.0)
            ),
            ValueError,
            "without a cost budget, trains its weights; got strategy synchronous, cost budget 1.0",
        ),
        (
            lambda e: replace(e, fabric=replace(e.fabric, strides=(2, 4, 8, 16))),
            ValueError,
            "but the backbone has strides",
        ),
        (
            lambda e: replace(e, data=DataSpec("nothing")),
            ValueError,
            "unknown data set 'nothing'.*mpii",
        ),
        (lambda e: replace(e, data=DataSpec("mpii", "nowhere")), DataError, "nowhere.*train.json"),
        (lambda e: replace(e, backbone_weights="nowhere.pth"), FileNotFoundError, "nowhere.pth"),
        (
            lambda e: replace(
                e, backbone_weights="a.pth", backbone_fabric=FabricSpec(width=2, first=0, last=3)
            ),
            ValueError,
            "a fabric backbone starts from random weights; there are none to load from a.pth",
        ),
    ],
)
def test_refused_before_anything_is_written(tiny, tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        search(change(tiny), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_there_is_named(tiny, tmp_path):
    with pytest.raises(ValueError, match=r"device 'gpu' cannot be used .*there are: cpu"):
        Search(tiny, tmp_path / "run", device="gpu", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_folder_with_another_experiment_is_refused(undisturbed, tiny):
    message = "(?s)holds another experiment.*--vector-dim: 8 in the run, 4 requested.*another name"
    with pytest.raises(RunError, match=message):
        search(replace(tiny, vector_dim=4), undisturbed.run.folder)


def test_another_experiment_leaves_the_search_that_has_the_name_alone(tiny, tmp_path):
    first = search(tiny, tmp_path)
    with pytest.raises(RunError, match="holds another experiment"):
        search(replace(tiny, vector_dim=4), tmp_path)
    first.step()
    assert first.step_number == 1


def test_lists_are_as_good_as_tuples(tiny, tmp_path):
    lists = replace(tiny, image_size=[64, 64], training=replace(tiny.training, lr_drops=[0.5]))
    search(lists, tmp_path).close()
    assert search(lists, tmp_path).experiment.image_size == (64, 64)


def test_an_unwritable_folder_is_named(tiny, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match=r"cannot write the run folder .*file.*choose another"):
        search(tiny, tmp_path / "file" / "run")


def test_a_second_process_is_refused_and_the_same_one_takes_over(tiny, tmp_path):
    first = search(tiny, tmp_path / "run")
    code = f"""
from posenfs.search.checkpoints import RunError
from posenfs.search.run_dir import RunDir
from posenfs.search.run_writer import RunWriter
try:
    RunWriter(RunDir({str(tmp_path / "run")!r})).open()
except RunError as error: print(error)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert f"in use by a Python process (process {os.getpid()} on " in out
    first.step()
    second = search(tiny, tmp_path / "run")  # the cell run again
    second.step()
    assert second.step_number == 1
    with pytest.raises(RunError, match="has released"):
        first.step()
    first.close()  # again: must not let go of what the second holds
    second.step()


def test_history_holds_deterministic_fields_alone(undisturbed):
    for row in undisturbed.run.history():
        assert set(row) == {"step", "epoch", "lr", "loss"} or set(row) >= {
            "step",
            "epoch",
            "pckh@0.5",
        }
        assert not any(word in key for key in row for word in ("time", "second", "memory"))
        json.dumps(row, allow_nan=False)


def test_a_result_says_how_its_poses_were_found(tiny, tmp_path, monkeypatch):
    asked, predict = [], trainer.predict
    monkeypatch.setattr(
        trainer,
        "predict",
        lambda *args, **options: asked.append(options) or predict(*args, **options),
    )
    running = search(replace(tiny, training=replace(tiny.training, epochs=1)), tmp_path)
    running.finish()
    found = running.run.metrics()
    assert [(own["flip"], own["decoding"]) for own in asked] == [(found["flip"], found["decoding"])]


def test_errors_explain_the_metric(undisturbed):
    errors = undisturbed.run.errors()[:, :15].copy()  # pelvis is the last
    errors[:, 2] = np.nan  # thorax
    share = 100 * (errors[~np.isnan(errors)] <= 0.5).mean()
    assert share == pytest.approx(undisturbed.metrics["pckh@0.5"])


def test_whoever_looks_on_sees_alpha_and_beta_before_the_next_checkpoint(tiny, tmp_path):
    going = search(replace(tiny, runtime=replace(tiny.runtime, log_every=1)), tmp_path)
    for step in (1, 2):
        going.step()
        steps, architectures = RunDir(tmp_path).architectures()
        assert steps.tolist() == list(range(step + 1))
        for name, own in going.model.architectures().items():
            assert architectures[name].alpha[-1].equal(own.alpha)
    going.checkpoint()
    assert RunDir(tmp_path).architectures()[0].tolist() == [0, 1, 2]
    assert [path.name for path in sorted((tmp_path / "architecture").iterdir())] == ["00000002.npz"]


def test_let_go_of_it_writes_nothing_more(tiny, tmp_path):
    going = search(tiny, tmp_path)
    going.step()
    going.close()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for act in (going.step, going.checkpoint, lambda: going.rewind(0)):
        with pytest.raises(RunError, match="has released"):
            act()
    going.recorded.save()
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_settings_are_compared_before_any_data_are_read(undisturbed, tiny, monkeypatch):
    """Each that differs is named as the option that sets it, in whatever way the search is begun."""
    monkeypatch.setattr(opening, "build", lambda *arguments: pytest.fail("data were read"))
    monkeypatch.setattr(
        "subprocess.Popen", lambda *arguments, **options: pytest.fail("a process was begun")
    )
    folder = undisturbed.run.folder
    data = replace(tiny.data, root="elsewhere", images=[9, 9])
    other = replace(
        tiny,
        data=data,
        parts={"all": MPII.keypoints[:15]},
        training=replace(tiny.training, epochs=20, lr_drops=[]),
    )
    for begin in (search, detach):
        with pytest.raises(RunError) as refused:
            begin(other, folder)
        named = [line.partition(":")[0].strip() for line in str(refused.value).splitlines()[1:-1]]
        assert named == [
            "--data.root",
            "--data.images",
            "--parts",
            "--training.epochs",
            "--training.lr-drops",
        ]
        assert "\n  --training.epochs: 2 in the run, 20 requested\n" in str(refused.value)
        assert str(refused.value).endswith("another name: this run is finished")


def test_a_finished_search_holds_no_lock_until_it_is_rewound(tiny, tmp_path):
    """Others open it and write nothing; what writes takes the lock, or names who has it."""
    one = search(tiny, tmp_path)
    one.finish()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    code = f"""
import sys
from posenfs.search.session import Search
from posenfs.search.checkpoints import RunError
other = Search({str(tmp_path)!r}, device="cpu", progress=False)
print(other.finished, other.metrics["pckh@0.5"], flush=True)
sys.stdin.readline()
try: other.rewind(1)
except RunError as error: print(error, flush=True)
sys.stdin.readline()
other.rewind(1)
print(other.step_number, other.run.status()["pid"])
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with FileLock(tmp_path / ".lock"):  # as an older version holds it
        other = subprocess.Popen([sys.executable, "-c", code], **pipes)
        assert other.stdout.readline() == f"True {one.metrics['pckh@0.5']}\n"
        assert load_model(tmp_path).model.heads
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
        print("go on", file=other.stdin, flush=True)
        assert (
            f"is in use by a Python process (process {os.getpid()} on " in other.stdout.readline()
        )
    one.rewind(3)
    assert RunDir(tmp_path).in_use()
    one.finish()
    assert not RunDir(tmp_path).in_use()
    print("go on", file=other.stdin, flush=True)
    assert other.communicate()[0] == f"1 {other.pid}\n"
    with pytest.raises(
        ValueError, match="this search is at step 1: it can be rewound to step 0 to 1, not 3"
    ):
        one.rewind(3)  # the other took that back meanwhile
    one.finish()
    assert one.run.status()["state"] == "finished"


def test_a_search_says_where_it_stands(tiny, tmp_path):
    going = search(tiny, tmp_path / "run")
    assert repr(going).startswith("Search(tiny: ready, step 0 of 8, epoch 0 of 2, PCKh@0.5 -,")
    seen, thread = [], threading.Thread(target=going.finish)
    thread.start()
    while thread.is_alive():
        seen.append(repr(going))
    assert all(f"in {tmp_path / 'run'})" in text for text in seen)
    finished = f"finished, step 8 of 8, epoch 2 of 2, PCKh@0.5 {going.metrics['pckh@0.5']:.1f},"
    assert repr(going).startswith(f"Search(tiny: {finished}")
    going.close()
    assert repr(going).startswith("Search(tiny: closed, step 8 of 8")
