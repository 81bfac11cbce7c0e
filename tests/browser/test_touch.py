"""What is touched by hand: sliders, pixels, cells and keypoints, by the mouse and by the keyboard."""

import re

import pytest

CELLS = [
    """from posenfs import *
search = Search(Experiment(
    name="touched", data=DataSpec("synthetic", None, (24, 8)), image_size=(64, 64), fabric=FabricSpec(width=2),
    training=TrainingConfig(epochs=1, batch_size=8), parts=8,
))
metrics = search.finish()""",
    "ArchitectureEditor(search)",
    "HeatmapExplorer(search)",
    "PartDesigner(MPII, 3)",
    "RunBrowser()",
]


@pytest.fixture
def widget(lab, page):
    """A function of a cell's number: its widget, in sight."""
    page.open(lab.write("touch", CELLS))
    page.run_all()
    page.page.locator(".posenfs").nth(3).wait_for(state="attached", timeout=600_000)
    page.idle()

    def of(number: int):
        own = page.page.locator(".jp-Notebook .jp-Cell").nth(number).locator(".posenfs").first
        own.scroll_into_view_if_needed()
        return own

    yield of
    assert page.elsewhere == [] and page.errors == []


def changes(page, read, before):
    """Wait until what is read is another; what it is then."""
    return page.becomes(read, lambda now: now != before)


def test_editor_explorer_designer_and_browser(widget, page):
    editor = widget(1)
    image, words, graph = (
        lambda: editor.locator("img").get_attribute("src"),
        lambda: editor.get_by_text("people: loss").inner_text(),
        lambda: editor.locator("svg").first.inner_html(),
    )
    before = changes(page, image, ""), words(), graph()
    slider = editor.locator(".widget-slider", has_text="separable").locator(".noUi-handle")
    slider.press("End")
    after = (
        changes(page, image, before[0]),
        changes(page, words, before[1]),
        changes(page, graph, before[2]),
    )
    assert all(one != other for one, other in zip(before, after, strict=True))
    editor.locator(".jupyter-button", has_text="Undo").click()
    page.becomes(graph, lambda now: now == before[2])
    page.becomes(words, lambda now: now == before[1])
    cell = editor.locator("select").nth(2)
    first = cell.input_value()
    editor.locator("g.cell").last.press("Enter")
    changes(page, cell.input_value, first)

    explorer = widget(2)
    words = lambda: explorer.get_by_text("at pixel").inner_text()  # noqa: E731
    shared = "Parts share this keypoint"
    assert shared not in words()
    explorer.locator("select").nth(1).select_option("left elbow")
    before = page.becomes(words, lambda now: shared in now)
    explorer.locator(".nsewdrag").first.click(position={"x": 40, "y": 60})
    changes(page, words, before)

    designer = widget(3)
    words = lambda: designer.get_by_text("keypoints in").inner_text()  # noqa: E731
    assert words() == "16 of 16 keypoints in 3 parts"
    name = page.page.locator(
        "title", has_text=re.compile("^keypoint/3$")
    )  # the left shoulder, an upper limb's
    shoulder = designer.locator("g.keypoint", has=name)
    shoulder.click()
    assert changes(page, words, "16 of 16 keypoints in 3 parts") == "15 of 16 keypoints in 3 parts"
    shoulder.press("Enter")
    assert changes(page, words, "15 of 16 keypoints in 3 parts") == "16 of 16 keypoints in 3 parts"

    browser = widget(4)
    browser.locator("select").last.select_option("touched")
    browser.locator("svg g.cell").first.wait_for(state="attached")
