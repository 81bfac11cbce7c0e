"""The panel in real JupyterLab, by the page alone: what a person presses, and what a person then sees."""

from posenfs.search.run_dir import RunDir

SMALL = {
    "name": "seen", "train_images": 96, "valid_images": 12, "image_size": 64, "width": 2, "epochs": 8,
    "batch_size": 8,
}  # fmt: skip


def points(page) -> int:
    """Of the line of the loss."""
    return page.page.evaluate(
        "() => Math.max(0, ...[...document.querySelectorAll('.js-plotly-plot')].map(g => g.data[0].x.length || 0))"
    )


def graph(page, step: int) -> str:
    """The weights of all fabrics, as the graph's tooltips have them, once it is that of a step."""
    words = page.page.get_by_text("the weights of step").last
    page.becomes(words.inner_text, lambda now: now == f"the weights of step {step}")
    return page.page.evaluate(
        "() => [...document.querySelectorAll('.posenfs-drawn svg a')].map(a => a.getAttribute('xlink:title')).join()"
    )


def zoom(page) -> str:
    """Drag over a part of the line of the loss; the steps that are seen then."""
    plot = page.page.locator(".js-plotly-plot .nsewdrag").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    mouse, y = page.page.mouse, box["y"] + box["height"] / 2
    mouse.move(box["x"] + box["width"] / 3, y)
    mouse.down()
    mouse.move(box["x"] + box["width"] / 2, y, steps=5)
    mouse.up()
    return page.page.evaluate(RANGE)


RANGE = "() => document.querySelector('.js-plotly-plot').layout.xaxis.range.join()"


def losses(run: RunDir) -> dict[int, float]:
    return {row["step"]: row["loss"] for row in run.history() if "loss" in row}


def test_a_search_is_run_held_stepped_rewound_and_stopped(lab, page):
    run = RunDir(lab.folder / "reports/runs/seen")
    page.open(lab.put("04_search", **SMALL))
    page.run_all()
    page.until(lambda word, step: word == "ready" and step == 0)
    assert not page.enabled("Pause") and not page.enabled("Stop")
    page.press("Step")
    page.until(lambda word, step: word == "paused" and step == 1)
    page.becomes(lambda: points(page), lambda count: count == 1)
    page.press("10 steps")
    page.until(lambda word, step: word == "paused" and step == 11)
    page.becomes(lambda: points(page), lambda count: count == 11)
    seen = zoom(page)
    page.press("Step")
    page.until(lambda word, step: word == "paused" and step == 12)
    page.becomes(lambda: points(page), lambda count: count == 12)
    assert page.page.evaluate(RANGE) == seen  # a zoom stays while the line grows
    page.tab("Fabric")
    now = graph(page, 12)
    page.slider("at step").press("Home")
    old = graph(page, 0)
    assert now != old
    page.press("Epoch")
    page.until(lambda word, step: word == "paused" and step == 23)
    page.slider("at step").press("End")
    assert graph(page, 23) != old
    page.press("Run")
    page.until(lambda word, step: word == "running" and step > 24)
    page.press("Pause")
    page.until(lambda word, step: word == "paused")
    held = page.state()[1]
    page.page.wait_for_timeout(2000)  # in which nothing may happen
    assert page.state() == ("paused", held) and run.status()["step"] == held
    before = losses(run)
    assert list(before) == list(range(1, held + 1))
    page.slider("checkpoint").press("Home")
    assert graph(page, 0) == old
    page.press("Rewind")
    page.until(lambda word, step: word == "paused" and step == 0)
    page.press("Run")
    page.until(lambda word, step: word == "running" and step > held)
    page.press("Stop")
    page.until(lambda word, step: word == "stopped")
    assert not page.enabled("Stop") and page.enabled("Run")
    after = losses(run)
    assert all(after[step] == loss for step, loss in before.items())
    page.press("Run")
    page.until(lambda word, step: word == "finished" and step == 184)
    assert not page.enabled("Stop") and not page.enabled("Run")
    page.idle()
    page.page.locator(".jp-OutputArea-output svg").first.wait_for(state="attached")
    assert page.elsewhere == [] and page.errors == []
