"""The panel in real JupyterLab, by the page alone: what a person presses, and what a person then sees."""

from posenfs.search.run import Run

SMALL = {
    "name": "seen", "train_pictures": 96, "valid_pictures": 12, "image_size": 64, "width": 2, "epochs": 4,
    "batch_size": 8,
}  # fmt: skip


def points(page) -> int:
    """Of the line of the loss."""
    return page.page.evaluate(
        "() => Math.max(0, ...[...document.querySelectorAll('.js-plotly-plot')].map(g => g.data[0].x.length || 0))"
    )


def graph(page) -> str:
    """The weights of all fabrics, as the graph's tooltips have them."""
    return page.page.evaluate(
        "() => [...document.querySelectorAll('.posenfs-drawn svg a')].map(a => a.getAttribute('xlink:title')).join()"
    )


def graph_at(page, key: str) -> str:
    """At the first moment (Home) or the last one (End)."""
    page.slider("at step").press(key)
    page.page.wait_for_timeout(1000)
    return graph(page)


def test_a_search_is_run_held_stepped_rewound_and_stopped(lab, page):
    page.open(lab.put("04_search", **SMALL))
    page.command("notebook:run-all-cells")
    page.until(lambda word, step: word == "ready" and step == 0)
    page.press("Step")
    page.until(lambda word, step: word == "paused" and step == 1)
    page.press("10 steps")
    page.until(lambda word, step: word == "paused" and step == 11)
    page.page.wait_for_timeout(1500)
    assert points(page) == 11
    page.tab("Fabric")
    old = graph_at(page, "Home")
    page.press("Epoch")
    page.until(lambda word, step: word == "paused" and step == 23)
    assert graph_at(page, "End") != old
    page.press("Run")
    page.until(lambda word, step: word == "running" and step > 24)
    page.press("Pause")
    page.until(lambda word, step: word == "paused")
    held = page.state()[1]
    page.page.wait_for_timeout(2000)
    assert page.state() == ("paused", held)
    before = {row["step"]: row["loss"] for row in Run(lab.folder / "reports/runs/seen").history() if "loss" in row}
    page.slider("snapshot").press("Home")
    page.page.wait_for_timeout(1000)
    assert graph(page) == old
    page.press("Rewind")
    page.until(lambda word, step: word == "paused" and step == 0)
    page.press("Run")
    page.until(lambda word, step: word == "running" and step > held)
    page.press("Stop")
    page.until(lambda word, step: word == "stopped")
    after = {row["step"]: row["loss"] for row in Run(lab.folder / "reports/runs/seen").history() if "loss" in row}
    assert all(after[step] == loss for step, loss in before.items())
    page.press("Run")
    page.until(lambda word, step: word == "finished" and step == 92)
    page.idle()
    assert page.page.locator(".jp-OutputArea-output svg").count() > 0
    assert page.elsewhere == [] and page.errors == []
