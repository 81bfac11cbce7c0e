"""JupyterLab as a person has it: its server, a page in Debian's Chromium, and the notebooks with small parameters."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
TOKEN = "for-this-test"


def _free_port() -> int:
    with closing(socket.socket()) as own:
        own.bind(("127.0.0.1", 0))
        return own.getsockname()[1]


class Lab:
    """A JupyterLab server whose folder has the house's notebooks and its runs."""

    def __init__(self, folder: Path, **environment: str):
        self.folder, self.port = folder, _free_port()
        (folder / "notebooks").mkdir(parents=True)
        (folder / "pyproject.toml").write_text(
            ""
        )  # the house begins here: runs and data are made below
        home = {
            name: str(folder / "jupyter" / name)
            for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")
        }
        home["JUPYTER_RUNTIME_DIR"] = str(folder / "jupyter" / "runtime")
        options = [
            f"--ServerApp.root_dir={folder}", f"--ServerApp.port={self.port}", f"--IdentityProvider.token={TOKEN}",
            f"--LabApp.user_settings_dir={folder / 'jupyter' / 'settings'}",
            f"--LabApp.workspaces_dir={folder / 'jupyter' / 'workspaces'}",
            "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None", "--LabApp.extension_manager=readonly",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--no-browser", "--allow-root",
        ]  # fmt: skip
        self.set(
            "@jupyterlab/apputils-extension:notification", fetchNews="false", checkForUpdates=False
        )
        self.log = open(folder / "jupyter.log", "w")  # noqa: SIM115 (closed when the server ends)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], stdout=self.log, stderr=self.log, cwd=folder,
            env={**os.environ, **home, **environment, "POSENFS_CACHE": str(folder / "cache")}, start_new_session=True,
        )  # fmt: skip
        end = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"{self.address}/api?token={TOKEN}")
                return
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise RuntimeError((folder / "jupyter.log").read_text()) from None
                time.sleep(0.2)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def put(self, notebook: str, cells: slice = slice(None), **parameters) -> str:
        """A notebook of the house with other values in its first cell of code; where it is below the root."""
        book = nbformat.read(NOTEBOOKS / f"{notebook}.ipynb", 4)
        first = next(cell for cell in book.cells if cell.cell_type == "code")
        first.source += "".join(f"\n{key} = {value!r}" for key, value in parameters.items())
        book.cells = book.cells[cells]
        nbformat.write(book, self.folder / "notebooks" / f"{notebook}.ipynb")
        return f"notebooks/{notebook}.ipynb"

    def write(self, notebook: str, cells: list[str]) -> str:
        """A notebook of these cells of code; where it is below the root."""
        kernel = {
            "kernelspec": {
                "name": "python3",
                "display_name": "Python 3 (ipykernel)",
                "language": "python",
            }
        }
        book = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata=kernel
        )
        nbformat.write(book, self.folder / "notebooks" / f"{notebook}.ipynb")
        return f"notebooks/{notebook}.ipynb"

    def set(self, plugin: str, **values) -> None:
        """A user's settings of one of JupyterLab's plugins."""
        package, name = plugin.split(":")
        path = self.folder / "jupyter" / "settings" / package / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


class Page:
    """A page of JupyterLab at 1280 px; what it said to the console and asked of other machines is kept."""

    def __init__(self, browser, lab: Lab):
        self.lab, self.errors, self.elsewhere = lab, [], []
        self.page = browser.new_page(viewport={"width": 1280, "height": 1600})
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._asked)

    def _asked(self, request) -> None:
        if not request.url.startswith(
            (self.lab.address, self.lab.address.replace("http", "ws"), "data:", "blob:")
        ):
            self.elsewhere.append(request.url)

    def open(self, notebook: str) -> None:
        self.page.goto(
            f"{self.lab.address}/lab/tree/{notebook}?token={TOKEN}&reset",
            wait_until="domcontentloaded",
        )
        self.begun()

    def begun(self) -> None:
        """Until the notebook is there and its kernel has answered."""
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        self.page.evaluate(
            "async () => { await window.jupyterapp.shell.currentWidget?.sessionContext?.ready; }"
        )
        self.idle()
        chooser = self.page.locator(".jp-Dialog", has_text="Select Kernel")
        if (
            chooser.count()
        ):  # of a kernel that took long to answer JupyterLab asks whether it is the right one
            chooser.locator(".jp-mod-accept").click()
            self.idle()

    def idle(self, timeout: float = 120_000) -> None:
        """Until the kernel has nothing to do, and a moment more."""
        self.page.wait_for_selector(
            ".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=timeout, state="attached"
        )
        self.page.wait_for_timeout(1000)

    def state(self, patience: float = 120_000) -> tuple[str, int]:
        """What the panel says: the word, and the step. It is brought in sight: *Run All* looks at the last cell."""
        state = self.page.locator(".posenfs-state").last
        state.wait_for(state="attached", timeout=patience)
        state.scroll_into_view_if_needed()
        words = state.inner_text()
        return words.split("step")[0].strip(), int(re.search(r"step (\d+) of", words)[1])

    def until(self, condition, patience: float = 240) -> None:
        """Wait, so many seconds at most, until condition(word, step) holds of the panel's state."""
        self.becomes(self.state, lambda state: condition(*state), patience)

    def becomes(self, read, condition, patience: float = 60):
        """Wait, so many seconds at most, until condition(read()) holds; what was read then."""
        end = time.monotonic() + patience
        while not condition(found := read()):
            if time.monotonic() > end:
                raise AssertionError(f"after {patience:g} s it is still {found!r:.300}")
            self.page.wait_for_timeout(200)
        return found

    def button(self, name: str):
        """A button of a widget, by its words."""
        return self.page.locator(".jupyter-button", has_text=re.compile(rf"^\s*{name}\s*$")).last

    def press(self, name: str) -> None:
        self.button(name).click()

    def enabled(self, name: str) -> bool:
        return self.button(name).is_enabled()

    def tab(self, title: str) -> None:
        """Turn to a tab of the panel."""
        self.page.locator(".lm-TabBar-tab", has_text=title).last.click()

    def slider(self, name: str):
        """A slider over steps, which heeds Home, End and the arrows."""
        return self.page.get_by_label(name, exact=True).last

    def command(self, name: str) -> None:
        """One of JupyterLab's own, not waited for."""
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name); }", name)

    def run_all(self) -> None:
        """*Run All*; once more where a kernel that has just begun did not hear it."""
        begun = lambda: self.page.locator(".jp-CodeCell .jp-InputPrompt").first.text_content()  # noqa: E731
        for patience in (60, 120):
            self.command("notebook:run-all-cells")
            try:
                self.becomes(begun, lambda words: re.search(r"\[[\d*]", words), patience)
                return
            except AssertionError:
                if patience == 120:
                    raise
