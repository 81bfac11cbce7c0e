"""Images of the workbench, of drawn people, made in a real JupyterLab: python -m tests.browser.images [FOLDER]"""

import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser.lab import CHROMIUM, Lab, Page

_SEARCH = """from posenfs import *
search = Search(Experiment(
    name="imaged", data=DataSpec("synthetic", None, (700, 60), "plain"), image_size=(96, 96),
    fabric=FabricSpec(width=4, hidden_nodes=2), augmentation=Augmentation(20, 0.2),
    training=TrainingConfig(epochs=5, batch_size=16, lr=0.003, lr_drops=(0.7, 0.9)),
    runtime=RuntimeConfig(log_every=5),
))"""
_OTHER = """import torch
name, own = list(search.model.architectures().items())[1]
edit = Architecture(own.alpha.detach() + torch.tensor([0.0, -1.0, 0.0, 1.0]), own.beta.detach())
other = search.branch(172, "bolder", {name: edit})
metrics = other.finish()"""
_TABS = ("Curves", "Alpha", "Beta", "Fabric", "Predictions", "Cost", "Log")
_SAYS = {
    "Predictions": "on people that it was not trained on",
    "Cost": "GMAC an image",
}  # once it is computed
_WIDGETS = {
    "panel": "panel = SearchPanel(search)\npanel",
    "": "metrics = await panel.finished()",
    "other": _OTHER,
    "editor": "ArchitectureEditor(search)",
    "explorer": "HeatmapExplorer(search)",
    "browser": "RunBrowser()",
    "designer": "PartDesigner(MPII, 8)",
}


def take(folder: Path) -> None:
    """Write <theme>_<widget>.png, and one for each tab of the panel, into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, sync_playwright() as play:
        lab = Lab(Path(home) / "house")
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = Page(browser, lab)
        page.open(lab.write("images", [_SEARCH, *_WIDGETS.values()]))
        page.page.keyboard.press("Control+b")  # the file browser makes way
        page.page.set_viewport_size({"width": 1280, "height": 2200})
        page.run_all()
        page.until(lambda word, step: word == "ready")
        page.press("Run")
        page.until(lambda word, step: word == "finished", 3600)
        page.idle(3_600_000)
        _touch(page)
        for theme in ("Light", "Dark"):
            page.page.evaluate(
                "t => window.jupyterapp.commands.execute('apputils:change-theme', {theme: t})",
                f"JupyterLab {theme}",
            )
            for name in _WIDGETS:
                if name == "panel":
                    for tab in _TABS:
                        _shoot_tab(page, tab, folder / f"{theme.lower()}_panel_{tab.lower()}.png")
                elif name not in ("", "other"):
                    _shoot(_cell(page, name), folder / f"{theme.lower()}_{name}.png")
        print("console:", page.errors, "elsewhere:", page.elsewhere)
        browser.close()
        lab.close()


def _cell(page: Page, name: str):
    """The widget of a cell, in sight."""
    own = (
        page.page.locator(".jp-Notebook .jp-Cell")
        .nth(1 + list(_WIDGETS).index(name))
        .locator(".posenfs")
        .first
    )
    own.scroll_into_view_if_needed()
    return own


def _touch(page: Page) -> None:
    """Something is chosen and moved, so that there is something to see."""
    page.tab("Fabric")
    panel = _cell(page, "panel")
    panel.locator("g.cell").nth(4).press("Enter")
    panel.get_by_text("Eq. 3: concatenation").wait_for()
    editor = _cell(page, "editor")
    words = editor.get_by_text("people: loss")
    before = words.inner_text()
    number = editor.locator(".widget-slider", has_text="dilated").locator(".widget-readout")
    number.fill("0.60")
    number.press("Enter")
    page.becomes(words.inner_text, lambda now: now != before)
    explorer = _cell(page, "explorer")
    explorer.locator("select").nth(1).select_option("left hip")
    page.becomes(explorer.get_by_text("at pixel").inner_text, lambda now: "lower limb" in now)
    browser = _cell(page, "browser")
    browser.locator("select").last.select_option(["imaged", "bolder"])
    browser.locator("svg g.cell").first.wait_for(state="attached")


def _shoot_tab(page: Page, tab: str, path: Path) -> None:
    """A tab of the panel, once it has something to show."""
    page.tab(tab)
    panel = _cell(page, "panel")
    for words in [words for name, words in _SAYS.items() if name == tab]:
        panel.get_by_text(words).first.wait_for(timeout=300_000)
    _shoot(panel, path)


def _shoot(own, path: Path) -> None:
    own.page.wait_for_timeout(3000)  # fonts, and figures that take their width
    own.scroll_into_view_if_needed()
    own.screenshot(path=path)
    image = Image.open(path).convert("RGB")
    if not own.locator(
        "img:visible, svg image"
    ).count():  # 256 colours do for all but people: a third of the size
        image = image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    image.save(path, optimize=True)


if __name__ == "__main__":
    take(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
