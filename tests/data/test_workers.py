"""Workers: how many shared memory allows, and a message where one is lost."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.geometry import ImageSize
from posenfs.data.loader import Crops, Loader
from posenfs.data.workers import (
    WorkerError,
    _note_fewer,
    fitting_workers,
    worker_error,
)

MB = 10**6


@pytest.mark.parametrize(
    ("free", "workers", "expected"),
    # A batch of 1 MB; w workers hold 2 w batches, this process 2, labels and locks 2**20 bytes.
    [
        (100 * MB, 8, 8),
        (18 * MB + 2**20, 8, 8),
        (18 * MB + 2**20 - 1, 8, 7),
        (8 * MB + 2**20, 8, 3),
        (4 * MB + 2**20, 8, 1),
        (4 * MB + 2**20 - 1, 1, 0),
        (256 * 1024, 2, 0),
        (0, 2, 0),
    ],
)
def test_as_many_workers_as_their_batches_fit(free, workers, expected, monkeypatch, capsys):
    _note_fewer.cache_clear()
    usage = shutil.disk_usage("/")._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert [fitting_workers(workers, MB) for _ in range(3)] == [expected] * 3
    said = capsys.readouterr().err
    assert said.count("--shm-size") == (expected != workers)  # said once, though asked thrice
    if expected == 0:
        assert f"decoded by this process, and not by {workers} worker" in said


def test_a_system_without_a_folder_for_shared_memory(monkeypatch, tmp_path):
    monkeypatch.setattr("posenfs.data.workers.SHARED_MEMORY", tmp_path / "none")
    assert fitting_workers(8, 10**12) == 8


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (RuntimeError("DataLoader worker (pid(s) 12, 13) exited unexpectedly"), "process 12, 13"),
        (RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. "), "process 12"),
        (
            RuntimeError(
                "Caught RuntimeError in DataLoader worker process 0.\nunable to allocate shared "
                "memory(shm) for file </torch_1_2_0>: No space left on device (28)"
            ),
            "raise --shm-size",
        ),
        (OSError(28, "No space left on device"), "cannot be started"),
        (ConnectionResetError(104, "Connection reset by peer"), "was killed or has crashed, most"),
        (FileNotFoundError(2, "No such file or directory"), "was killed or has crashed, most"),
        (EOFError(), "was killed or has crashed, most"),
    ],
)
def test_what_a_data_loader_raises(error, part):
    message = str(worker_error(error))
    assert part in message and "--workers 0" in message


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes differ"),
        OSError("Caught OSError in DataLoader worker process 0.\nOriginal Traceback"),
        EOFError("Caught EOFError in DataLoader worker process 0.\nOriginal Traceback"),
    ],
)
def test_other_errors_keep_their_traceback(error):
    assert worker_error(error) is None


def test_a_killed_worker_is_an_error_and_the_next_pass_has_new_ones(drawn):
    crops = Crops(read_mpii(drawn, "train"), ImageSize(32, 32))
    expected = [batch.images for batch in Loader(crops, 2).once()]
    loader, others = Loader(crops, 2, workers=1), set(psutil.Process().children(recursive=True))
    batches = loader.once()
    assert torch.equal(next(batches).images, expected[0])
    (worker,) = [
        child
        for child in set(psutil.Process().children(recursive=True)) - others
        if child.name() == "pt_data_worker"
    ]
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(
        WorkerError, match=rf"killed or has crashed( \(process {worker.pid}\))?, most"
    ):
        list(batches)
    again = [batch.images for batch in loader.once()]
    assert all(map(torch.equal, again, expected)) and len(again) == len(expected)


FULL = """
import sys
from pathlib import Path
import posenfs.data.loader
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.geometry import ImageSize

if __name__ == "__main__":
    if sys.argv[2] == "filled":  # by others, after the workers were counted
        posenfs.data.loader.fitting_workers = lambda workers, size: workers
    crops = posenfs.data.loader.Crops(read_mpii(Path(sys.argv[1]), "train"), ImageSize(256, 256))
    sums = [int(b.images.sum()) for b in posenfs.data.loader.Loader(crops, 4, workers=2).once()]
    print(sums)
"""


@pytest.mark.parametrize("when", ["before", "filled"])
def test_little_shared_memory_is_no_hang(when, drawn, tmp_path):
    """A tmpfs of 256 kB in a namespace of its own, where the system lets tests have one."""
    (tmp_path / "full.py").write_text(FULL)
    mount = "mount -t tmpfs -o size=256k tmpfs /dev/shm"
    unshare = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "sh", "-c", mount]).returncode:
        pytest.skip("no mount namespaces here")
    script = f"{mount} && exec {sys.executable} {tmp_path / 'full.py'} {drawn} {when}"
    home = str(Path(__file__).parents[2])
    done = subprocess.run(
        [*unshare, "sh", "-c", script],
        env={**os.environ, "PYTHONPATH": home},
        capture_output=True,
        text=True,
        timeout=120,
    )
    if when == "before":
        crops = Crops(read_mpii(drawn, "train"), ImageSize(256, 256))
        expected = [int(batch.images.sum()) for batch in Loader(crops, 4).once()]
        assert done.stdout.strip() == str(expected), done.stderr
        assert "decoded by this process, and not by 2 workers" in " ".join(done.stderr.split())
    else:
        assert done.returncode == 1 and "WorkerError: shared memory is full" in done.stderr
