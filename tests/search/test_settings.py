"""Other settings under the name of a run: which differ, and the command that goes on."""

import re
import shlex
from dataclasses import replace

import pytest
import torch

from posenfs.cli.main import main
from posenfs.search.checkpoints import RunError
from posenfs.search.experiment import Experiment, search_command
from posenfs.search.run_dir import RunDir
from posenfs.search.saved_models import load_model
from posenfs.search.session import Search


def longer(experiment: Experiment, epochs: int) -> Experiment:
    return replace(experiment, training=replace(experiment.training, epochs=epochs))


def refusal(experiment: Experiment) -> str:
    with pytest.raises(RunError) as error:
        Search(experiment, device="cpu", progress=False)
    return str(error.value)


def test_more_epochs_of_a_finished_run(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    one = longer(tiny, 1)
    Search(one, device="cpu", progress=False).finish()
    message = refusal(longer(tiny, 2))
    assert "\n  --training.epochs: 1 in the run, 2 requested\n" in message
    command = re.search(r"posenfs search .*", message)[0]
    words = shlex.split(command)
    assert words[:4] == ["posenfs", "search", "--name", "tiny_2"]
    assert words[words.index("--init-from") + 1] == str(tmp_path / "reports/runs/tiny")

    main([*words[1:], "--device", "cpu", "--quiet"])  # exactly the command of the message
    run = RunDir("reports/runs/tiny_2")
    assert run.is_finished() and run.status()["epochs"] == 2
    assert run.provenance()["initial_weights"] == f"saved in {tmp_path / 'reports/runs/tiny'}"
    assert RunDir("reports/runs/tiny").is_finished()
    assert "--name tiny_3 " in refusal(longer(tiny, 2))


def test_the_longer_run_begins_with_the_weights(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Search(longer(tiny, 1), device="cpu", progress=False).finish()
    words = shlex.split(re.search(r"posenfs search .*", refusal(longer(tiny, 2)))[0])
    start = words[words.index("--init-from") + 1]
    search = Search(
        replace(longer(tiny, 2), name="tiny_2", init_from=start), device="cpu", progress=False
    )
    trained = load_model("tiny").model.state_dict()
    # alpha and beta start at 0 again, as the strategy initialises them; the weights are those
    weights = search.model.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in trained.items()
               if not re.search("alpha|beta", name))  # fmt: skip
    search.close()


def test_settings_of_the_network_offer_no_weights(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Search(longer(tiny, 1), device="cpu", progress=False).finish()
    for other in (
        replace(tiny, vector_dim=4),
        replace(tiny, parts=1),
        replace(tiny, backbone="resnet50"),
    ):
        message = refusal(other)
        assert "--init-from" not in message and "Give the new settings another name" in message
        assert "--training.epochs: 1 in the run, 2 requested" in message


def test_an_unfinished_run_is_to_be_resumed(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    search = Search(tiny, device="cpu", progress=False)
    search.epoch()
    search.close()
    message = refusal(longer(tiny, 3))
    assert "--training.epochs: 2 in the run, 3 requested" in message
    assert message.endswith("continue with the run's own settings: posenfs resume tiny")


def test_a_command_is_parsed_to_its_experiment(tiny, monkeypatch):
    experiment = replace(
        tiny,
        name="a name",
        rules=replace(tiny.rules, edge_factor=not tiny.rules.edge_factor),
        augmentation=replace(tiny.augmentation, normal=True, rotation=12.5),
        training=replace(tiny.training, lr_drops=(0.5, 0.75), patience=3),
        search=replace(tiny.search, strategy="random"),
    )
    parsed = []
    monkeypatch.setattr("posenfs.cli.search.run_search", lambda e, *_: parsed.append(e))
    main(shlex.split(search_command(experiment))[1:])
    assert Experiment.from_json(parsed[0].to_json()) == Experiment.from_json(experiment.to_json())


def test_values_that_are_no_options(tiny, tmp_path, monkeypatch):
    custom = replace(tiny, parts={"all": tuple(f"k{n}" for n in range(3))})
    assert search_command(custom) is None
