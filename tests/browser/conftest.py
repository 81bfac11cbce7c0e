"""JupyterLab and a page of it, where there is a browser."""

from pathlib import Path

import pytest

from tests.browser.lab import CHROMIUM, Lab, Page


def pytest_collection_modifyitems(items):
    """Skipped, with a message, where there is no browser."""
    try:
        import playwright  # noqa: F401

        missing = None if CHROMIUM else "no Chromium on PATH (Debian: apt-get install chromium)"
    except ImportError:
        missing = "no playwright (pip install -e '.[dev]')"
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
            if missing:
                item.add_marker(pytest.mark.skip(reason=missing))


@pytest.fixture
def lab(tmp_path):
    own = Lab(
        tmp_path / "house", OMP_WAIT_POLICY="passive"
    )  # no turn is wasted where others want the cores
    yield own
    own.close()


@pytest.fixture
def page(lab):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        own = Page(browser, lab)
        yield own
        own.page.screenshot(path=lab.folder / "page.png")  # to be looked at where a test failed
        browser.close()
