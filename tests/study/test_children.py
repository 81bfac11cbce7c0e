"""Tests of the comparison of parent and child."""

from dataclasses import replace

import pytest
import torch

from posenfs.search.run_dir import RunDir
from posenfs.search.saved_models import load_model
from posenfs.search.session import Search
from posenfs.study.children import child_experiment, parent_and_child


@pytest.fixture(scope="module")
def parent(tiny, tmp_path_factory) -> RunDir:
    search = Search(tiny, tmp_path_factory.mktemp("runs") / "parent", progress=False)
    with torch.no_grad():  # as after a longer search
        for number, parameter in enumerate(search.model.architecture_parameters()):
            parameter.normal_(std=3, generator=torch.Generator().manual_seed(number))
        search.model.heads[0].fabric.alpha[:] = torch.tensor([9.0, 0, 1, 0])  # zero, then separable
    search.finish()
    search.close()
    return search.run


def test_rows_costs_and_runs(parent):
    table = parent_and_child(parent, epochs=1, progress=False)
    assert table["network"].tolist() == [
        "parent, soft", "child with zero, as derived", "child, as derived",
        "child, running means recomputed", "child, retrained from the parent's weights",
        "child, trained from scratch",
    ]  # fmt: skip
    soft, with_zero, *discrete = table["GMAC"].tolist()
    assert with_zero < discrete[0] < soft and len(set(discrete)) == 1
    assert table["PCKh@0.5"].between(0, 100).all()
    model = load_model(parent).model
    for start in ("weights", "scratch"):
        run = RunDir(parent.folder.with_name(f"parent_child_{start}"))
        assert run.status()["state"] == "finished" and run.experiment().training.epochs == 1
        assert not run.architectures()[1]
        genotype = load_model(run).experiment.genotype
        assert genotype == child_experiment(parent, model.genotypes(False), start).genotype
        assert genotype["upper_limb_part"].operations == (("separable_3x3",),)
    with_zero = child_experiment(parent, model.genotypes(True), "scratch").genotype
    assert with_zero["upper_limb_part"].operations == (("zero",),)
    again = parent_and_child(parent, epochs=1, progress=False)
    assert again.equals(table)


def test_initialisation_of_the_child(parent):
    soft = load_model(parent).model
    vectors = soft.heads[0].vectors.weight
    for start in ("weights", "scratch"):
        experiment = replace(child_experiment(parent, soft.genotypes(False), start), name="again")
        search = Search(experiment, parent.folder.with_name(f"again_{start}"), progress=False)
        assert torch.equal(search.model.heads[0].vectors.weight, vectors) == (start == "weights")
        search.close()


def test_runs_without_a_child_are_refused(parent, tiny, tmp_path):
    search = Search(tiny, tmp_path / "young", progress=False)
    search.close()
    with pytest.raises(ValueError, match=r"young is not finished \(step 0 of 8\)"):
        parent_and_child(tmp_path / "young", progress=False)
    child = parent.folder.with_name("parent_child_weights")
    with pytest.raises(ValueError, match="nothing was searched in parent_child_weights"):
        parent_and_child(child, progress=False)
