"""What looking at a search costs it: python -m benchmarks.panel

In a real JupyterLab, its page open on the same machine (a browser elsewhere would cost less), blocks of training steps
that the panel runs and shows, a block for each tab, take turns with blocks of the same search in the kernel's main
thread, without a panel; then a small search of 10,000 steps with the panel open, and the memory of the kernel and of
the page on the way. Writes benchmarks/results/panel.json.
"""

import json
import statistics
import tempfile
from pathlib import Path

import tyro
from playwright.sync_api import sync_playwright

from tests.browser.lab import CHROMIUM, Lab, Page

_TABS = ("Curves", "Alpha", "Beta", "Fabric", "Predictions", "Cost", "Log")
_COST = """import asyncio, json, time
from pathlib import Path
from posenfs import *
search = Search(Experiment(
    name="panel", data=DataSpec("synthetic", None, (600, 20)), image_size=(128, 128), parts={parts},
    run=RunConfig(epochs=1000, batch_size={batch}),
), progress=False)
panel = SearchPanel(search)
panel"""
_TURNS = """def bare():
    search.step()
    started = time.perf_counter()
    for _ in range({steps}):
        search.step()
    return (time.perf_counter() - started) / {steps}

async def shown(tab):
    panel.tabs.selected_index = tab
    begin = search.step_number
    panel.driver.step({steps} + 1)
    while search.step_number == begin:
        await asyncio.sleep(0.005)
    started = time.perf_counter()
    while search.step_number <= begin + {steps}:
        await asyncio.sleep(0.005)
    found = (time.perf_counter() - started) / {steps}
    panel.driver.stop()
    panel.driver.wait()
    while panel.driver.under_way:
        await asyncio.sleep(0.05)
    return found

search.snapshot()  # there is something to predict with
bare()
times = []
for n in range({rounds}):
    for tab in range({tabs}):
        first = bare() if n % 2 else None
        with_panel = await shown(tab)
        times.append([tab, first or bare(), with_panel])
Path("times.json").write_text(json.dumps(times))"""
_LONG = """from posenfs import *
search = Search(Experiment(
    name="long", data=DataSpec("synthetic", None, (50, 4)), image_size=(32, 32), parts=1, fabric=FabricSpec(width=1),
    run=RunConfig(epochs=1000, batch_size=2),
), progress=False)
panel = SearchPanel(search)
panel"""


def main(rounds: int = 6, steps: int = 10, batch: int = 16, parts: int = 3, long: int = 10_000) -> None:
    with tempfile.TemporaryDirectory() as home, sync_playwright() as play:
        lab = Lab(Path(home) / "house")
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        found = {"cost": _cost(lab, Page(browser, lab), rounds, steps, batch, parts)}
        found |= {"batch": batch, "parts": parts, "memory": _memory(lab, Page(browser, lab), long)}
        browser.close()
        lab.close()
    path = Path(__file__).parent / "results" / "panel.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def _cost(lab: Lab, page: Page, rounds: int, steps: int, batch: int, parts: int) -> dict:
    """By tab how much longer a step takes with it than without, in percent: median of the rounds, and their range."""
    turns = _TURNS.format(steps=steps, rounds=rounds, tabs=len(_TABS))
    page.open(lab.write("cost", [_COST.format(batch=batch, parts=parts), turns]))
    page.run_all()
    page.state()
    times = lab.folder / "notebooks" / "times.json"
    for _ in range(3 * rounds * len(_TABS) * (steps + 2)):  # s: ten times as long as it takes
        page.state()  # in sight, as somebody has it who looks at it
        page.page.wait_for_timeout(1000)
        if times.exists():
            break
    else:
        page.page.screenshot(path="panel.png")
        raise RuntimeError("the blocks of steps did not end; panel.png shows what the page said")
    more: dict[str, list[float]] = {name: [] for name in _TABS}
    plain = []
    for tab, bare, shown in json.loads(times.read_text()):
        more[_TABS[tab]].append(100 * (shown / bare - 1))
        plain.append(bare)
    page.page.close()
    rows = {name: [round(v, 1) for v in (statistics.median(own), min(own), max(own))] for name, own in more.items()}
    everything = [v for own in more.values() for v in own]
    return {"step_s": round(statistics.median(plain), 3), "more_percent": rows, "all": statistics.median(everything)}


def _memory(lab: Lab, page: Page, long: int) -> list[dict]:
    """Megabytes of the kernel and of the page's scripts at some steps of a long search."""
    page.open(lab.write("long", [_LONG]))
    page.run_all()
    page.until(lambda word, step: word == "ready")
    session = page.page.context.new_cdp_session(page.page)
    page.press("Run")
    rows = []
    for wanted in [n * long // 10 for n in range(1, 11)]:
        page.until(lambda word, step, wanted=wanted: step >= wanted, 600)
        page.tab(_TABS[len(rows) % len(_TABS)])
        session.send("HeapProfiler.collectGarbage")
        heap = session.send("Runtime.getHeapUsage")["usedSize"] / 1e6
        run = lab.folder / "reports" / "runs" / "long"
        kernel = json.loads((run / "status.json").read_text())["pid"]
        memory = next(line for line in Path(f"/proc/{kernel}/status").read_text().splitlines() if "VmRSS" in line)
        rows.append({"step": page.state()[1], "kernel_mb": int(memory.split()[1]) // 1000, "page_mb": round(heap, 1)})
        print(rows[-1], flush=True)
    page.press("Stop")
    page.until(lambda word, step: word == "stopped")
    return rows


if __name__ == "__main__":
    tyro.cli(main)
