"""The editor of alpha and beta: answers equal the network's, and the run stays unchanged."""

import time

import pytest
import torch

from posenfs.search.checkpoints import RunError
from posenfs.search.run_dir import RunDir
from posenfs.widgets.editor import ArchitectureEditor
from tests.search.test_session import search


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    finished = search(tiny, tmp_path_factory.mktemp("edited") / "run")
    finished.finish()
    finished.close()
    return finished.run


@pytest.fixture
def editor(finished):
    return ArchitectureEditor(RunDir(finished.folder), "cpu")


def settle(editor):
    end = time.monotonic() + 60
    while (editor._work.busy or editor.driver.doing) and time.monotonic() < end:
        editor.refresh()
        time.sleep(0.01)
    editor.refresh()


def test_slider_changes_graph_maps_loss_and_cost_and_undo_reverts_it(editor, finished):
    settle(editor)
    before = editor.graph.svg, bytes(editor.maps.value), editor.facts.value
    files = {path: path.read_bytes() for path in finished.folder.rglob("*") if path.is_file()}
    assert before[1].startswith(b"\x89PNG") and editor.undo.disabled and editor.branch.disabled
    editor.operations.children[2].value = 4.0
    settle(editor)
    part = editor.part.value
    assert editor.changed[part].alpha[0, 2] == 4.0 and not editor.branch.disabled
    after = editor.graph.svg, bytes(editor.maps.value), editor.facts.value
    assert all(old != new for old, new in zip(before, after, strict=True))
    editor.sources.children[0].value = -2.0
    assert editor.changed[part].beta[0, 0] == -2.0
    editor.undo.click()
    assert editor.operations.children[2].value == 4.0
    assert editor.sources.children[0].value == editor.before[part].beta[0, 0]
    editor.reset.click()
    settle(editor)
    assert (
        editor.graph.svg == before[0]
        and bytes(editor.maps.value) == before[1]
        and editor.changed == {}
    )
    assert files == {
        path: path.read_bytes() for path in finished.folder.rglob("*") if path.is_file()
    }


def test_loss_is_that_of_the_edited_network(editor):
    part = editor.part.value
    editor.operations.children[1].value = 3.0
    edited = editor.network.with_architectures(editor.changed)
    answer = editor.answer(editor.changed, 0, editor.keypoint.value)
    assert answer.loss == pytest.approx(editor._loss(edited))
    assert answer.loss != pytest.approx(editor._loss(editor.network))
    assert (
        edited.fabrics()[part].alpha[0, 1] == 3.0
        and editor.network.fabrics()[part].alpha[0, 1] != 3.0
    )


def test_branch_creates_a_run_with_the_edit(editor, finished):
    editor.step = 4  # no steps are left after the last checkpoint
    editor.operations.children[2].value = 4.0
    editor.name.value = "by_hand"
    editor.branch.click()
    settle(editor)
    assert editor.message.value == "branching by_hand at step 4: done"
    branch = RunDir(finished.folder.with_name("by_hand"))
    state = branch.checkpoints.load(branch.checkpoints.steps()[-1])["model"]
    assert branch.status()["step"] == 4
    assert any(name.endswith("alpha") and torch.any(value == 4.0) for name, value in state.items())


def test_run_without_a_checkpoint(tiny, tmp_path):
    unfinished = search(tiny, tmp_path / "run")
    with pytest.raises(RunError, match="has no checkpoint yet"):
        ArchitectureEditor(unfinished)
    unfinished.close()
