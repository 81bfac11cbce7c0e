"""Pictures of the workbench, of drawn people, made in a real JupyterLab: python -m tests.browser.pictures [FOLDER]"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.lab import CHROMIUM, Lab, Page

_SEARCH = """from posenfs import *
search = Search(Experiment(
    name="pictured", data=DataSpec("synthetic", None, (700, 60), "plain"), image_size=(96, 96),
    fabric=FabricSpec(width=4, hidden_nodes=2), augmentation=Augmentation(20, 0.2),
    run=RunConfig(epochs=5, batch_size=16, lr=0.003, lr_drops=(0.7, 0.9), log_every=5),
))"""
_TABS = ("Curves", "Alpha", "Beta", "Fabric", "Predictions", "Cost", "Log")
_WIDGETS = {
    "panel": "panel = SearchPanel(search)\npanel",
    "": "metrics = await panel.finished()",
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
        page.open(lab.write("pictures", [_SEARCH, *_WIDGETS.values()]))
        page.page.keyboard.press("Control+b")  # the file browser makes way
        page.page.set_viewport_size({"width": 1280, "height": 2200})
        page.run_all()
        page.until(lambda word, step: word == "ready")
        page.press("Run")
        page.until(lambda word, step: word == "finished", 900)
        page.idle()
        for theme in ("Light", "Dark"):
            page.page.evaluate(
                "t => window.jupyterapp.commands.execute('apputils:change-theme', {theme: t})", f"JupyterLab {theme}"
            )
            for number, name in enumerate(_WIDGETS):
                if name == "panel":
                    for tab in _TABS:
                        page.tab(tab)
                        if tab == "Fabric" and theme == "Light":
                            page.page.locator(".posenfs g.cell").nth(4).press("Enter")
                        page.page.wait_for_timeout(3000)
                        _shoot(page, 1, folder / f"{theme.lower()}_panel_{tab.lower()}.png")
                elif name:
                    _shoot(page, 1 + number, folder / f"{theme.lower()}_{name}.png")
        print("console:", page.errors, "elsewhere:", page.elsewhere)
        browser.close()
        lab.close()


def _shoot(page: Page, cell: int, path: Path) -> None:
    own = page.page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".posenfs").first
    own.scroll_into_view_if_needed()
    page.page.wait_for_timeout(1000)
    own.screenshot(path=path)


if __name__ == "__main__":
    take(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/pictures"))
