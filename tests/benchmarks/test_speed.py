"""Tests of the benchmark: its measurements, and that the numbers of a result are consistent."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.speed.__main__ import main
from benchmarks.speed.implementations import KINDS, reference_of
from benchmarks.speed.measure import measure_speeds, speed_line
from benchmarks.speed.process import machine_limits
from benchmarks.speed.works import NETWORKS, Work, default_works
from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import MPII
from posenfs.model.space import FabricSpec
from posenfs.search.build import build_model
from posenfs.search.experiment import Experiment

FIELDS = {
    "work", "size", "batch", "threads", "dtype", "reference_s", "fast_s", "ratio", "images_per_s",
    "peak_mb", "share_of_limit",
}  # fmt: skip
SMALL = Experiment("small", parts=1, fabric=FabricSpec(width=1))


@pytest.fixture(scope="module")
def speeds():
    works = [Work(kind, SMALL, 64, 2) for kind in KINDS]
    return list(measure_speeds(works, "cpu", threads=1, rounds=2, seconds=0.3, progress=False))


@pytest.mark.slow
def test_numbers_of_a_result_are_consistent(speeds):
    assert [speed.work for speed in speeds] == list(KINDS)
    for speed in speeds:
        assert set(speed.json()) > FIELDS
        assert speed.threads == 1 and speed.batch == 2 and speed.size == 64
        assert 0 < speed.ratio_low <= speed.ratio <= speed.ratio_high
        assert speed.images_per_s == pytest.approx(2 / speed.fast_s)
        assert speed.share_of_limit == pytest.approx(
            speed.gflop / speed.fast_s / speed.limit_gflops
        )
        assert 100 < speed.peak_mb < 20_000 and 100 < speed.reference_peak_mb < 20_000
        assert (speed.gflop > 0) == (speed.work != "data") and speed.gbyte > 0
    by_work = {speed.work: speed for speed in speeds}
    assert by_work["training step"].gflop == pytest.approx(3 * by_work["inference"].gflop)
    assert 0 < by_work["search step"].wait_share < 1 and by_work["data"].wait_share is None
    assert {speed.compiled for speed in speeds} == {"no"}


@pytest.mark.slow
def test_each_result_is_one_row(speeds):
    assert all(
        speed.work in speed_line(speed) and f"{speed.fast_s:.4f} s" in speed_line(speed)
        for speed in speeds
    )


def test_the_reference_predicts_the_same_heatmaps():
    model = build_model(NETWORKS["table_2"], part_scheme(MPII, 3)).eval()
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(
        reference_of(model).eval()(images), model(images), rtol=1e-4, atol=1e-5
    )


def test_default_works_cover_every_network_and_size():
    works = default_works("cpu")
    assert {(w.kind, w.experiment.name, w.size) for w in works} >= {
        (kind, name, size)
        for kind in ("training step", "inference")
        for name in NETWORKS
        for size in (128, 256)
    }
    assert [w.kind for w in default_works("cpu", quick=True)] == list(KINDS)
    assert {w.batch for w in default_works("cuda:0") if w.kind == "training step"} == {128, 256}


def test_machine_limits_are_plausible():
    limits = machine_limits("cpu")
    assert limits.flops_per_s > 1e9 and limits.bytes_per_s > 1e8


@pytest.mark.slow
def test_failed_works_are_reported_and_the_others_run():
    impossible = Work("training step", SMALL, 64, 10**9)
    works = [impossible, Work("inference", SMALL, 64, 1)]
    failures = []

    def failed(work, error):
        failures.append((work, str(error)))

    speeds = list(measure_speeds(works, "cpu", 1, 1, 0.01, False, failed))
    assert [speed.work for speed in speeds] == ["inference"]
    assert failures[0][0] is impossible and "allocate memory" in failures[0][1]
    with pytest.raises(RuntimeError, match="allocate memory"):
        list(measure_speeds([impossible], "cpu", 1, 1, 0.01, False))


def test_batches_and_devices():
    assert {w.batch for w in default_works("cuda", batch=8)} == {8, 16}
    assert [w.kind for w in default_works("cpu", dtypes=("float32", "bfloat16"))].count("data") == 2
    with pytest.raises(
        ValueError, match="a mps device cannot be timed; supported devices: cpu, cuda"
    ):
        default_works("mps")


def test_unknown_work_is_refused():
    with pytest.raises(
        ValueError, match="unknown work 'rest'; known: training step, inference, data, search step"
    ):
        next(measure_speeds([replace(default_works()[0], kind="rest")]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rest"], "unknown 'rest'; known: training step, inference"),
        (["--network", "x"], "unknown 'x'; known: table_2"),
        (["--rounds", "0"], "--rounds is at least 1; got 0"),
        (["--size", "100"], "nothing of that kind, network and size is timed"),
        (["--device", "cuda:7"], "device 'cuda:7' cannot be used"),
    ],
)
def test_bad_input_is_refused(arguments, message, capsys):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("file/a.json", "file is a file; choose a folder (--output)"),
        ("folder", "folder is a folder; give a file (--output)"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused(output, message, tmp_path):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SystemExit) as error:
        main(["data", "--quick", "--output", str(tmp_path / output)])
    assert message in str(error.value)


def test_the_command_prints_and_writes_json(tmp_path, capsys):
    """It times Table II's network as shortly as possible."""
    file = str(tmp_path / "speeds.json")
    small = [
        "--network",
        "table_2",
        "--size",
        "128",
        "--batch",
        "1",
        "--rounds",
        "1",
        "--seconds",
        "0.01",
    ]
    main(["inference", *small, "--threads", "1", "--device", "cpu", "--output", file, "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert rows == json.loads(Path(file).read_text())
    assert [row["network"] for row in rows] == ["table_2"] and rows[0]["batch"] == 2
