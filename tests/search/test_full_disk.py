"""A full disk: one message, nothing half written, a true status; with room the search goes on."""

import builtins
import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from posenfs.cli.main import main
from posenfs.data.files import DiskFullError, atomic_path, naming_errors, temporary_files
from posenfs.search.checkpoints import CheckpointStore
from posenfs.search.run_dir import RunDir
from posenfs.search.session import Search

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
FILES = ("history.jsonl", "metrics.json", "config.json", "model.safetensors")


@pytest.fixture(scope="module")
def undisturbed(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    Search(tiny, folder, device="cpu", progress=False).finish()
    return folder


def assert_same(folder: Path, undisturbed: Path) -> None:
    for name in FILES:
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes(), name
    assert RunDir(folder).state() == "finished"


def nothing_half_written(folder: Path) -> None:
    for place in (folder, folder / "architecture"):
        assert not list(temporary_files(place))
    assert not list((folder / "checkpoints").glob(".*"))


class Disk:
    """A disk whose writes fail: the n-th one of some files, or that and all after it."""

    def __init__(self, monkeypatch, name: str, call: int, lasting: bool):
        self.name, self.call, self.lasting, self.calls = name, call, lasting, 0
        self.failed: list[str] = []
        fsync, opened = os.fsync, builtins.open

        def sync(handle: int) -> None:
            self.write(os.readlink(f"/proc/self/fd/{handle}"))
            fsync(handle)

        def open_file(path, mode="r", *arguments, **options):
            if mode == "a":
                self.write(str(path))
            return opened(path, mode, *arguments, **options)

        monkeypatch.setattr(os, "fsync", sync)
        monkeypatch.setattr("posenfs.search.run_writer.open", open_file, raising=False)

    def write(self, path: str) -> None:
        if self.failed and self.lasting:
            raise FULL
        if self.name not in path:
            return
        self.calls += 1
        if self.calls == self.call:
            self.failed.append(path)
            raise FULL


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="names of open files, on Linux")
@pytest.mark.parametrize(
    ("name", "call", "named", "lasting"),
    [
        ("state.pt", 2, "checkpoints/00000008/state.pt", True),
        (".status", 2, "status.json", True),
        (".model", 1, "model.safetensors", True),
        ("state.pt", 1, "checkpoints/00000004/state.pt", False),
        ("state.pt", 2, "checkpoints/00000008/state.pt", False),
        ("history.jsonl", 2, "history.jsonl", False),
        ("timing.jsonl", 1, "timing.jsonl", False),
        (".status", 2, "status.json", False),
        (".errors", 2, "errors.npz", False),
        (".since", 1, "architecture/since.npz", False),
        ("/.00000004", 1, "architecture/00000004.npz", False),
        (".model", 1, "model.safetensors", False),
        (".metrics", 1, "metrics.json", False),
    ],
)
def test_at_any_write(name, call, named, lasting, tiny, undisturbed, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        disk = Disk(patch, name, call, lasting)
        search = Search(tiny, folder, device="cpu", progress=False)
        with pytest.raises(DiskFullError) as error:
            search.finish()
        assert disk.failed
        search.close()
    message = str(error.value)
    assert f"{folder / named}: no space is left on the device (" in message
    assert "MB free); free some space" in message and "`posenfs resume" in message
    nothing_half_written(folder)
    run = RunDir(folder)
    if lasting:  # the status could not be written either: it is the last one, of a lost process
        assert run.state() in ("gone", "failed")
    else:
        status = run.status()
        assert status["state"] == "failed" and status["error"] == message
        assert status["step"] in [0, *run.checkpoints.steps()]
        assert f"continues from step {status['step']} of 8" in message
    Search(tiny, folder, device="cpu", progress=False).finish()
    assert_same(folder, undisturbed)


def test_the_command_line_has_one_line_and_code_1(tiny, undisturbed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Search(tiny, device="cpu", progress=False).close()
    with monkeypatch.context() as patch:
        Disk(patch, "state.pt", 1, False)
        with pytest.raises(SystemExit) as stop:
            main(["resume", "tiny", "--device", "cpu", "--quiet"])
    assert (
        stop.value.code.startswith("posenfs: cannot read or write ") and "\n" not in stop.value.code
    )
    assert "state.pt: no space is left on the device (" in stop.value.code
    assert " MB needed, " in stop.value.code
    main(["resume", "tiny", "--device", "cpu", "--quiet"])
    assert_same(tmp_path / "reports" / "runs" / "tiny", undisturbed)


def test_the_same_object_goes_on(tiny, undisturbed, tmp_path, monkeypatch):
    """As the same cell does, in a notebook."""
    search = Search(tiny, tmp_path / "run", device="cpu", progress=False)
    with monkeypatch.context() as patch:
        Disk(patch, "state.pt", 2, True)
        with pytest.raises(DiskFullError):
            search.finish()
    search.finish()
    assert_same(tmp_path / "run", undisturbed)


def test_a_rewind_and_a_branch(tiny, undisturbed, tmp_path, monkeypatch):
    shutil.copytree(undisturbed, tmp_path / "run")
    search = Search(tmp_path / "run", device="cpu", progress=False)

    def copy(source, target):
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source), None, str(target))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copy2", copy)
        with pytest.raises(DiskFullError, match=r"branches/000_after_00000002: no space"):
            search.rewind(2)
        with pytest.raises(DiskFullError, match=r"twig: no space"):
            search.branch(2, "twig")
    assert not list((tmp_path / "run" / "branches").iterdir())
    assert not list(tmp_path.glob("*twig"))
    search.rewind(2)
    search.finish()
    assert_same(tmp_path / "run", undisturbed)


def test_the_size_of_a_checkpoint_is_that_of_its_tensors(tmp_path, monkeypatch):
    state = {"model": {"a": torch.zeros(250_000)}, "more": [torch.zeros(125_000), {"step": 1}]}

    def fails(*_):
        raise FULL

    monkeypatch.setattr(torch, "save", fails)
    with pytest.raises(DiskFullError, match=r"00000007/state.pt: .* \(1.5 MB needed, .* MB free\)"):
        CheckpointStore(tmp_path).save(7, state)
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full, of Linux")
@pytest.mark.parametrize("library", ["torch", "numpy", "text"])
def test_whichever_library_finds_out(library, tmp_path):
    """Each writes to /dev/full, where every write fails; its own error is that of a full disk."""
    path, full = tmp_path / "a.bin", Path("/dev/full")
    with pytest.raises(DiskFullError, match=r"a.bin: no space is left"), atomic_path(path):
        if library == "text":
            full.write_text("text")
        with open(full, "wb") as file:
            if library == "torch":
                torch.save({"a": torch.zeros(100_000)}, file)
            np.savez(file, a=np.zeros(100_000))
    assert not list(tmp_path.iterdir())


def test_safetensors_has_an_error_of_its_own(tmp_path):
    text = "Error while serializing: I/O error: No space left on device (os error 28)"
    with pytest.raises(DiskFullError, match="a: no space is left"), naming_errors(tmp_path / "a"):
        raise SafetensorError(text)


def test_other_errors_are_as_they_were(tmp_path):
    with pytest.raises(ZeroDivisionError), naming_errors(tmp_path / "a"):
        raise ZeroDivisionError
    with pytest.raises(PermissionError, match="a.json"), naming_errors(tmp_path / "a.json"):
        raise PermissionError(errno.EACCES, "Permission denied")
    with pytest.raises(FileNotFoundError, match="other"), naming_errors(tmp_path / "a.json"):
        raise FileNotFoundError(errno.ENOENT, "No such file", "other")
