import json
from dataclasses import replace

import pytest

from posenfs.data.augment import RELEASED
from posenfs.model.space import RELEASED as RELEASED_RULES
from posenfs.search.build import build
from posenfs.search.configuration import TrainingConfig
from posenfs.search.experiment import Experiment


def test_json_round_trip(tiny):
    for experiment in (
        Experiment(),
        tiny,
        replace(
            tiny,
            parts={"all": ("neck",)},
            rules=RELEASED_RULES,
            augmentation=RELEASED,
            backbone="fabric_1",
        ),
    ):
        assert Experiment.from_json(experiment.to_json()) == experiment


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "config.json: JSON"),
        ('{"vector_dim": "many"}', r"config.json: vector_dim: .*'many'"),
        ('{"speed": 3}', r"config.json: speed: .*3"),
        (
            '{"training": {"epochs": 0}}',
            r"config.json: training: .*training.epochs must be above 0",
        ),
        ('{"backbone": "vgg"}', r"unknown backbone 'vgg'; known: mobilenet_v2"),
        ('{"image_size": [100, 128]}', "100 x 128 px.*96 x 128"),
        ('{"image_size": [0, 0]}', "0 x 0 px"),
        ('{"training": {"seed": -1}}', "training.seed must not be negative; got -1"),
        ('{"augmentation": {"scale": 30}}', r"augmentation.scale lies in \[0, 1\); got 30"),
        ('{"name": "a/b"}', "without slashes"),
    ],
)
def test_unsound_json_names_file_field_and_value(text, message):
    with pytest.raises(ValueError, match=message):
        Experiment.from_json(text, "config.json")


def test_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="'half'.*bfloat16"):
        TrainingConfig(precision="half")


def test_weights_depend_on_the_seed_alone(tiny):
    a, b = (build(tiny, progress=False).model.state_dict() for _ in range(2))
    assert all(a[key].equal(b[key]) for key in a)
    c = build(
        replace(tiny, training=replace(tiny.training, seed=1)), progress=False
    ).model.state_dict()
    assert not a["heads.0.vectors.weight"].equal(c["heads.0.vectors.weight"])


@pytest.mark.parametrize(("number", "name"), [(2024, "2024"), (100000.0, "100000.0"), (-1, "-1")])
def test_a_name_that_papermill_has_made_a_number(number, name):
    assert Experiment(name=number).name == name
    content = {"name": number, "data": {"root": number}}
    experiment = Experiment.from_json(json.dumps(content))
    assert (experiment.name, experiment.data.root) == (name, name)
