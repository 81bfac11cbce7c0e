"""The command line: what a user sees, and how wrong input ends."""

import errno
import json
import os
import re
from dataclasses import replace

import nbformat
import pytest
import torch
from torchvision.models import mobilenet_v2

from posenfs.cli.main import main
from posenfs.data.datasets.catalogue import DATASETS, parts_of
from posenfs.model.backbones import BACKBONES
from posenfs.model.backbones.torchvision_backbones import MobileNetV2
from posenfs.search.build import MODELS, build_model
from posenfs.search.run_dir import RunDir
from posenfs.search.run_writer import dump_json
from posenfs.search.saved_models import load_model, save_model
from posenfs.search.session import Search
from posenfs.search.strategies import STRATEGIES


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


SMALL = [
    "--name",
    "a",
    "--image-size",
    "64",
    "64",
    "--fabric.width",
    "2",
    "--training.epochs",
    "1",
    "--training.batch-size",
    "6",
    "--quiet",
]


def refused(arguments, capsys) -> str:
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code not in (0, None)
    captured = capsys.readouterr()
    message = exit.value.code if isinstance(exit.value.code, str) else captured.err + captured.out
    assert "Traceback" not in message
    return " ".join(message.split())


def test_search_status_and_json(here, drawn, capsys):
    main(["search", *SMALL, "--data.name", "mpii", "--data.root", str(drawn), "--json"])
    metrics = json.loads(capsys.readouterr().out)
    assert 0 <= metrics["pckh@0.5"] <= 100
    main(["status"])
    line = capsys.readouterr().out.splitlines()[1].split()
    assert line[:2] == ["a", "finished"] and f"{metrics['pckh@0.5']:.1f}" in line
    main(["status", "a", "--json"])
    (status,) = json.loads(capsys.readouterr().out)
    assert status["name"] == "a" and status["step"] == status["steps"]


def test_a_score_that_nobody_could_be_given(here, drawn, capsys, monkeypatch):
    monkeypatch.setattr(Search, "finish", lambda search: {search.primary_metric: None})
    main(["search", *SMALL, "--data.name", "mpii", "--data.root", str(drawn)])
    assert "PCKh@0.5 -; everything is in" in capsys.readouterr().out


def test_status_says_what_is_gone_and_what_failed(here, tiny, capsys):
    running = Search(replace(tiny, name="gone"), progress=False)
    status = running.run.status()
    dump_json(
        running.run.folder / "status.json",
        {**status, "state": "running", "heartbeat": status["heartbeat"] - 7200},
    )
    main(["status", "gone"])
    assert "running" in capsys.readouterr().out  # the lock is held
    running.close()
    main(["status", "gone"])
    assert " gone  " in (out := capsys.readouterr().out) and "2 h ago" in out
    main(["status", "gone", "--json"])
    assert json.loads(capsys.readouterr().out)[0]["state"] == "gone"
    dump_json(
        running.run.folder / "status.json",
        {**status, "state": "failed", "error": "the loss is nan"},
    )
    main(["status", "gone"])
    assert "the loss is nan" in capsys.readouterr().out


def test_a_run_from_before_headlines_is_read_and_completed(here, tiny, capsys):
    running = Search(replace(tiny, name="old"), progress=False)
    score = running.finish()["pckh@0.5"]
    for name in ("status.json", "metrics.json"):
        old = {
            k: v
            for k, v in json.loads((running.run.folder / name).read_text()).items()
            if k != "primary_metric"
        }
        dump_json(running.run.folder / name, old)
    running.close()
    main(["status", "old"])
    assert f"PCKh@0.5 {score:.1f}" in capsys.readouterr().out
    assert Search("old", progress=False).run.metrics()["primary_metric"] == "pckh@0.5"


def test_no_runs_yet(here, capsys):
    main(["status"])
    assert "no runs yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "--backbone", "vgg"], "unknown backbone 'vgg'; known: mobilenet_v2"),
        (
            ["search", "--data.name", "mpii", "--data.root", "nowhere"],
            "no MPII annotation at nowhere/annot/train.json",
        ),
        (["search", "--image-size", "100", "128"], "100 x 128 px"),
        (
            ["search", "--training.epochs", "0"],
            "posenfs: training.epochs must be above 0; got 0 (posenfs search --help)",
        ),
        (
            ["search", "--training.lr", "-1"],
            "posenfs: training.lr must be above 0; got -1.0 (posenfs search --help)",
        ),
        (
            ["search", "--fabric.width", "0"],
            "posenfs: a fabric needs width, hidden_nodes and layers of at least 1",
        ),
        (
            ["search", "--augmentation.scale", "2"],
            "posenfs: augmentation.scale lies in [0, 1); got 2.0 (posenfs",
        ),
        (
            ["search", "--training.crops", "foo"],
            "posenfs: unknown training.crops 'foo'; known: cached, half, plain (posenfs",
        ),
        (["search", "--training.epochs", "many"], "Error parsing --training.epochs"),
        (["search", "--cache-gb", "-1"], "--cache-gb must not be negative; got -1"),
        (
            ["search", "--backbone", "hrnet_w32", "--backbone-weights", "imagenet"],
            "hrnet_w32-36af842e.pth",
        ),
        (
            ["data", "synthetic", "--images", "0", "6"],
            "at least 1 image to train and 1 to validate on; got 0 and 6",
        ),
        (["search", "--data.difficulty", "mad"], "'mad'; choose one of plain, default, hard"),
        (["search", "--speed", "9"], "--speed"),
        (["report", "nothing"], "no run 'nothing'"),
        (
            ["status", "nothing"],
            "reports/runs/nothing holds a config.json; `posenfs status` lists the runs",
        ),
        (["run", "nothing.ipynb"], "no notebook at nothing.ipynb"),
    ],
)
def test_wrong_input_ends_with_a_message(here, capsys, arguments, message):
    assert message in refused(arguments, capsys)
    assert not (here / "reports").exists()


def test_a_search_is_refused_with_exit_code_1(here, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["search", "--training.epochs", "0"])
    assert (
        isinstance(stop.value.code, str) and not capsys.readouterr().err
    )  # printed by Python, with exit code 1


def test_every_choice_is_in_the_help_of_search(capsys):
    with pytest.raises(SystemExit):
        main(["search", "--help"])
    words = re.findall(r"\w+", capsys.readouterr().out)
    assert {*DATASETS, *STRATEGIES, *MODELS, *BACKBONES} <= set(words)


def test_the_version(capsys):
    main(["--version"])
    assert re.fullmatch(r"posenfs \d+\.\d+\S*\n", capsys.readouterr().out)


def test_a_models_folder_is_no_run(here, tiny, capsys):
    model = here / "model"
    save_model(model, build_model(tiny, parts_of(tiny.data, tiny.parts)), tiny)
    for command in ("status", "follow"):
        assert "model is a model's folder, not a run: nothing was searched there" in refused(
            [command, "model"], capsys
        )
    (model / "model.safetensors").unlink()
    main(["status", "model"])
    assert capsys.readouterr().out.splitlines()[1].split()[-1] == "-"  # no heartbeat
    message = refused(["report", "model"], capsys)
    assert "model has no weights yet (not begun)" in message and "posenfs status model" in message
    (model / "config.json").write_text("{")
    for command in ("status", "follow"):
        assert "model/config.json: JSON:" in refused([command, "model"], capsys)


def test_files_that_are_no_notebooks(here, capsys):
    (here / "fake.ipynb").write_text("nothing")
    for command in ("run", "report"):
        assert "fake.ipynb is not a notebook (" in refused([command, "fake.ipynb"], capsys)
    (here / "notebooks").mkdir()
    (here / "pyproject.toml").write_text("")
    (here / "notebooks" / "00_tour.ipynb").write_text("")
    assert f"the project's are in {here / 'notebooks'}: 00_tour" in refused(
        ["run", "nofile.ipynb"], capsys
    )


def test_wrong_parts_and_strategy(here, drawn, capsys):
    base = ["search", *SMALL, "--data.name", "mpii", "--data.root", str(drawn)]
    assert "unknown part scheme P = 4" in refused([*base, "--parts", "4"], capsys)
    assert "unknown strategy 'magic'; known: synchronous" in refused(
        [*base, "--search.strategy", "magic"], capsys
    )
    assert not (here / "reports").exists()


def test_another_experiment_in_the_folder(here, drawn, capsys):
    base = ["search", *SMALL, "--data.name", "mpii", "--data.root", str(drawn)]
    main(base)
    for more in ([], ["--detach"], ["--devices", "2"]):
        message = refused([*base, "--vector-dim", "4", "--training.lr", "0.1", *more], capsys)
        assert (
            "a holds another experiment: --vector-dim: 8 in the run, 4 requested --training.lr: 0.001 in the"
            in message
        )
        assert message.endswith("Give the new settings another name: this run is finished")


def test_resume_goes_on_with_the_settings_of_the_run(here, tiny, capsys):
    """Begun in Python, stopped after a step; in the end it is the run that was never stopped."""
    for name in ("whole", "stopped"):
        running = Search(replace(tiny, name=name), device="cpu", progress=False)
        running.step() if name == "stopped" else running.finish()
        if name == "stopped":
            running.checkpoint()
        running.close()
    main(["resume", "stopped", "--device", "cpu", "--quiet"])
    whole, stopped = (RunDir(here / "reports" / "runs" / name) for name in ("whole", "stopped"))
    assert stopped.history() == whole.history() and stopped.state() == "finished"
    score = f"PCKh@0.5 {whole.metrics()['metrics']['pckh@0.5']:.1f}"
    assert score in capsys.readouterr().out
    before = (stopped.folder / "status.json").read_bytes()
    main(["resume", str(stopped.folder)])
    assert f"stopped is finished: {score}; everything is in" in capsys.readouterr().out
    main(["resume", "stopped", "--json"])
    assert json.loads(capsys.readouterr().out) == stopped.metrics()["metrics"]
    assert (stopped.folder / "status.json").read_bytes() == before
    assert "no run 'unknown'" in refused(["resume", "unknown"], capsys)


def test_data_is_drawn_and_checked(here, capsys):
    main(["data", "synthetic", "--images", "3", "2", "--difficulty", "plain", "--quiet"])
    folder = capsys.readouterr().out.strip()
    assert folder == str(here / "data" / "synthetic" / "plain_3_2_seed0")
    main(["data", "check", folder, "--strict", "--quiet"])
    assert "3 in 3 images" in (text := capsys.readouterr().out) and "wrong" not in text
    (here / "data" / "synthetic" / "plain_3_2_seed0" / "images" / "train_000001.jpg").write_bytes(
        b"no image"
    )
    main(["data", "check", folder, "--quiet", "--json"])
    checks = {found["name"]: found for found in json.loads(capsys.readouterr().out)}
    assert (
        "train_000001.jpg" in checks["mpii train"]["wrong"][0] and not checks["coco valid"]["wrong"]
    )
    refused(["data", "check", folder, "--quiet", "--strict"], capsys)
    for path in (here / "data" / "synthetic" / "plain_3_2_seed0" / "images").iterdir():
        path.unlink()
    refused(["data", "check", folder, "--quiet"], capsys)
    assert "holds no data set" in refused(["data", "check", str(here)], capsys)
    search = ["search", *SMALL, "--data.name", "mpii", "--data.root", folder]
    assert "images cannot be used" in refused([*search, "--strict"], capsys)
    assert not (here / "reports").exists()


def test_a_data_set_without_heads_has_another_headline(here, drawn, capsys):
    main(["search", *SMALL, "--data.name", "coco", "--data.root", str(drawn)])
    assert "OKS-AP" in capsys.readouterr().out
    main(["status"])
    assert "OKS-AP" in capsys.readouterr().out


def test_matched_weights_are_logged(here, drawn, tmp_path, capsys):
    features = mobilenet_v2().features.state_dict()
    torch.save({f"features.{key}": value for key, value in features.items()}, tmp_path / "all.pth")
    base = ["search", *SMALL[:-1], "--data.name", "mpii", "--data.root", str(drawn)]
    main([*base, "--backbone-weights", str(tmp_path / "all.pth")])
    used = len(MobileNetV2().state_dict())
    said = f"{used} of {used} tensors matched, of {len(features)} in all.pth"
    assert said in capsys.readouterr().err
    assert (
        said
        in json.loads((here / "reports" / "runs" / "a" / "provenance.json").read_text())[
            "initial_weights"
        ]
    )


def test_import_prune_and_child(here, tiny, capsys):
    search = Search(replace(tiny, name="parent"), progress=False)
    with torch.no_grad():
        for parameter in search.model.architecture_parameters():
            parameter.normal_(std=3)
    search.finish()
    search.close()
    main(
        [
            "prune",
            "parent",
            "--output",
            "pruned",
            "--mode",
            "threshold",
            "--threshold",
            "0.1",
            "--quiet",
            "--json",
        ]
    )
    proof = json.loads(capsys.readouterr().out)
    assert (
        set(proof["differences"]) == {"random", "crops"}
        and proof["after"]["params"] < proof["before"]["params"]
    )
    assert json.loads((here / "pruned" / "proof.json").read_text()) == proof | {
        "mode": "threshold",
        "threshold": 0.1,
    }
    main(["prune", "parent", "--output", "one", "--mode", "one-hot", "--quiet", "--no-accuracy"])
    assert json.loads((here / "one" / "proof.json").read_text())["accuracy"] is None
    alphas = [fabric.alpha for fabric in search.model.fabrics().values()]
    won, edges = (
        sum(int((a.argmax(-1) == 0).sum()) for a in alphas),
        sum(a[..., 0].numel() for a in alphas),
    )
    said = f"operation zero won on {won} of {edges} edges; `posenfs child` derives without zero"
    assert tiny.fabric.operations[0] == "zero" and (said in capsys.readouterr().err) == (won > 0)
    assert "nothing to prune" in refused(
        ["prune", "pruned", "--output", "twice", "--quiet"], capsys
    )
    assert "lies in [0, 1)" in refused(
        ["prune", "parent", "--output", "b", "--mode", "threshold", "--threshold", "2", "--quiet"],
        capsys,
    )
    assert not (here / "b").exists() and not (here / "twice").exists()
    before = (here / "reports" / "runs" / "parent" / "model.safetensors").read_bytes()
    assert "choose another folder" in refused(
        ["prune", "parent", "--output", "reports/runs/parent", "--quiet"], capsys
    )
    assert (here / "reports" / "runs" / "parent" / "model.safetensors").read_bytes() == before
    assert "the mode threshold needs a threshold above 0" in refused(
        ["prune", "parent", "--output", "c", "--threshold", "0.3"], capsys
    )
    main(["child", "parent", "--epochs", "1", "--quiet", "--json"])
    rows = json.loads(capsys.readouterr().out)
    runs = [row["run"] for row in rows if row["network"] != "child with zero, as derived"]
    assert runs == ["parent", "", "", "parent_child_weights", "parent_child_scratch"]
    assert "no run 'nobody'" in refused(["child", "nobody"], capsys)


def test_pruned_where_its_people_are_gone(here, tiny, capsys):
    """The proof has random images alone, and says so."""
    gone = replace(tiny, data=replace(tiny.data, root=str(here / "gone")))
    save_model(here / "mine", build_model(gone, parts_of(tiny.data, tiny.parts)), gone)
    main(["prune", "mine", "--output", "pruned", "--json"])
    captured = capsys.readouterr()
    assert set(json.loads(captured.out)["differences"]) == {"random"}
    assert (
        "note: compared on random images alone, and no accuracy measured" in captured.err
        and "gone" in captured.err
    )


def test_away_from_the_terminal(here, drawn, capsys):
    main(
        [
            "search",
            *SMALL,
            "--data.name",
            "mpii",
            "--data.root",
            str(drawn),
            "--device",
            "cpu",
            "--detach",
        ]
    )
    assert re.search(
        r"process \d+ searches in \S+a; posenfs follow a shows its progress",
        capsys.readouterr().out,
    )
    main(["follow", "a"])
    assert RunDir(here / "reports" / "runs" / "a").status()["state"] == "finished"


def test_out_of_memory_is_said_in_a_line(here, monkeypatch, capsys):
    def full(*asked, **options):
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB\nSee the documentation"
        )

    monkeypatch.setattr("posenfs.study.costs.cost_rows", full)
    said = refused(["cost", "t2_p3"], capsys)
    assert (
        said
        == "posenfs: out of memory on the device (CUDA out of memory. Tried to allocate 2.00 GiB)"
    )


def test_import_a_checkpoint_in_the_authors_layout(here, real, capsys):
    file = real("released_layout") / "mobilenet_v2_p8_mpii.pth"
    main(["import", str(file), "--output", "imported"])
    assert "MPII-16, 8 parts" in capsys.readouterr().out
    assert load_model("imported").experiment.parts == 8
    message = refused(["import", str(file), "--output", "other", "--operations", "skip"], capsys)
    assert (
        "weigh 4 operations, but 1 were named (skip)" in message and not (here / "other").exists()
    )
    (here / "bad.pth").write_bytes(b"nothing")
    assert "bad.pth cannot be read as tensors" in refused(
        ["import", "bad.pth", "--output", "other"], capsys
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["serach", "--name", "a"],
            "unknown command 'serach'; did you mean search? The commands are search, resume",
        ),
        (["data", "chek", "folder"], "unknown command 'data chek'; did you mean check"),
        (["xyzzy"], "unknown command 'xyzzy'. The commands are search, resume, control"),
        (["status", "--jsno"], "--json"),
    ],
)
def test_misspelt_commands(here, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    captured = capsys.readouterr()
    assert stop.value.code == 2 and message in captured.err and not captured.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["data", "synthetic", "--images", "1", "1", "--quiet", "--root", "file/drawn"],
            "file is a file where a",
        ),
        (
            ["data", "synthetic", "--images", "1", "1", "--quiet", "--root", "/proc/none"],
            "/proc/none",
        ),
        (
            ["prune", "model", "--quiet", "--output", "file/pruned"],
            "file is no folder; choose a folder (--output)",
        ),
        (["prune", "model", "--quiet", "--output", "/proc/none"], "cannot write into /proc"),
        (
            ["run", "a.ipynb", "--quiet", "--output", "file/a.ipynb"],
            "is a file where a folder is needed",
        ),
        (["report", "done.ipynb", "--output", "file/a.html"], "is a file where a folder is needed"),
        (
            ["search", *SMALL, "--data.name", "mpii", "--data.root", "DRAWN"],
            "cannot write the run folder",
        ),
    ],
)
def test_what_cannot_be_written_is_named(here, tiny, drawn, capsys, arguments, message):
    """The path, the reason and the next step; nothing of Python's own words, nothing half written."""
    (here / "file").write_text("in the way")
    (here / "folder").mkdir()
    if arguments[0] == "search":
        (here / "reports").write_text("in the way")
    if arguments[0] == "prune":
        save_model(here / "model", build_model(tiny, parts_of(tiny.data, tiny.parts)), tiny)
    if arguments[0] in ("run", "report"):
        output = nbformat.v4.new_output("stream", text="1")
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        cells = [nbformat.v4.new_code_cell("print(1)", outputs=[output], execution_count=1)]
        for name in ("a", "done"):
            nbformat.write(
                nbformat.v4.new_notebook(cells=cells, metadata=kernel), here / f"{name}.ipynb"
            )
    said = refused([str(drawn) if word == "DRAWN" else word for word in arguments], capsys)
    assert (
        message in said
        and "Errno" not in said
        and re.search("choose (a|another) (place|folder)|check its name|give a file", said)
    )
    assert (here / "file").read_text() == "in the way" and not list((here / "folder").iterdir())


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_a_full_or_read_only_disk(here, tiny, capsys, monkeypatch, number):
    """Writing itself fails, without a path in the error; the message has the file's."""
    save_model(here / "model", build_model(tiny, parts_of(tiny.data, tiny.parts)), tiny)

    def fails(path, content):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("pathlib.Path.write_bytes", fails)
    said = refused(["prune", "model", "--output", "pruned", "--quiet"], capsys)
    assert (
        re.search(r"cannot read or write pruned/\w+.json: .*; .*choose another place", said)
        and "Errno" not in said
    )


def test_drawn_people_are_called_so(here, capsys):
    """Their files are MPII's and COCO's; messages say what they are, and stored names stay."""
    drawn = ["--data.images", "8", "4", "--data.difficulty", "plain"]
    main(["search", *SMALL[:-1], *drawn])
    shown = capsys.readouterr().err
    assert (
        "caching crops of drawn people (synthetic), train" in shown and "mpii" not in shown.lower()
    )
    data = json.loads((here / "reports" / "runs" / "a" / "provenance.json").read_text())["data"]
    assert {name: row["title"] for name, row in data.items()} == {
        "mpii train": "drawn people (synthetic), train",
        "mpii valid": "drawn people (synthetic), valid",
    }
    said = refused(["search", *SMALL, *drawn, "--name", "b", "--training.batch-size", "40"], capsys)
    assert "drawn people (synthetic), train has 8 people: fewer than one batch" in said
    main(["data", "check", str(here / "data" / "synthetic" / "plain_8_4_seed0"), "--quiet"])
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("  ")]
    assert [line.split(": ")[0] for line in lines] == [
        f"drawn people (synthetic), {split}, {skeleton}"
        for skeleton in ("MPII-16", "COCO-17")
        for split in ("train", "valid")
    ]
