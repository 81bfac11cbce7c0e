"""What looking at a search costs it: python -m benchmarks.panel

In a real JupyterLab, its page open on the same machine (a browser elsewhere would cost less), blocks of training steps
that the panel runs and shows, a block for each tab, take turns with blocks of the same search in the kernel's main
thread, without a panel. Told are the time of a step with and without, and, which other work on the machine disturbs
less, the share of the cores' time that all but the search took (the kernel's main thread, server, browser). Before
that the editor's answer to a moved slider, in the page; then a small search of 10,000 steps with the panel open, and
the memory of the kernel and of the page on the way. Writes benchmarks/results/panel.json.
"""

import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import tyro
from playwright.sync_api import sync_playwright

from tests.browser.lab import CHROMIUM, Lab, Page

_TABS = ("Curves", "Alpha", "Beta", "Fabric", "Predictions", "Cost", "Log")
_COST = """import asyncio, json, os, psutil, time
from pathlib import Path
from posenfs import *
search = Search(Experiment(
    name="{name}", data=DataSpec("synthetic", None, (600, 20)), image_size=(128, 128), parts={parts},
    training=TrainingConfig(epochs=1000, batch_size={batch}),
), progress=False)
panel = SearchPanel(search)
panel"""
_TURNS = """def page_and_server():
    own = [p for p in psutil.Process({pid}).children(recursive=True) if p.pid != os.getpid() and p.name() != "node"]
    return {{p.pid: sum(p.cpu_times()[:2]) for p in own}}

def bare():
    search.step()
    started, busy = time.perf_counter(), time.process_time()
    for _ in range({steps}):
        search.step()
    return [(time.perf_counter() - started) / {steps}, (time.process_time() - busy) / {steps}]

async def shown(tab):
    panel.tabs.selected_index = tab
    begin = search.step_number
    panel.driver.step({steps} + 1)
    while search.step_number == begin:
        await asyncio.sleep(0.02)
    started, main, others = time.perf_counter(), time.thread_time(), page_and_server()
    while search.step_number <= begin + {steps}:
        await asyncio.sleep(0.02)
    found = [(time.perf_counter() - started) / {steps}]
    used = sum(now - others[pid] for pid, now in page_and_server().items() if pid in others)
    found.append((time.thread_time() - main + used) / {steps})
    panel.driver.stop()
    panel.driver.wait()
    while panel.driver.under_way:
        await asyncio.sleep(0.05)
    return found

search.checkpoint()  # there is something to predict with
bare()
times = []
for n in range({rounds}):
    for tab in range({tabs}):
        first = bare() if n % 2 else None
        with_panel = await shown(tab)
        times.append([tab, first or bare(), with_panel])
        Path("going.json").write_text(json.dumps(times))
os.replace("going.json", "times.json")"""
_LONG = """from posenfs import *
search = Search(Experiment(
    name="long", data=DataSpec("synthetic", None, (50, 4)), image_size=(32, 32), parts=1, fabric=FabricSpec(width=1),
    training=TrainingConfig(epochs=1000, batch_size=2),
), progress=False)
panel = SearchPanel(search)
panel"""


_EDITOR = """search.checkpoint()
editor = ArchitectureEditor(search)
editor"""


def main(
    rounds: int = 6,
    steps: int = 10,
    batch: int = 16,
    parts: int = 3,
    long: int = 10_000,
    passive: bool = False,
) -> None:
    """`passive`: threads that wait leave their core to others, which where other work runs is the smaller evil."""
    policy = {"OMP_WAIT_POLICY": "passive"} if passive else {}
    with tempfile.TemporaryDirectory() as home, sync_playwright() as play:
        lab = Lab(Path(home) / "house", **policy)
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        found = {
            "batch": batch,
            "parts": parts,
            "passive": passive,
            "editor_s": _editor(lab, Page(browser, lab), batch, parts),
        }
        print(found, flush=True)
        found["cost"] = _cost(lab, Page(browser, lab), rounds, steps, batch, parts)
        print(found["cost"], flush=True)
        found["memory"] = _memory(lab, Page(browser, lab), long)
        browser.close()
        lab.close()
    path = Path(__file__).parent / "results" / "panel.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def _cost(lab: Lab, page: Page, rounds: int, steps: int, batch: int, parts: int) -> dict:
    """By tab, in percent, how much longer a step takes with the panel than without, and the share of all cores' time
    that all but the search took: median of the rounds, least and most."""
    turns = _TURNS.format(steps=steps, rounds=rounds, tabs=len(_TABS), pid=os.getpid())
    page.open(lab.write("cost", [_COST.format(name="cost", batch=batch, parts=parts), turns]))
    page.run_all()
    page.state()
    times = lab.folder / "notebooks" / "times.json"
    end = time.monotonic() + 20 * rounds * len(_TABS) * (
        steps + 2
    )  # s: many times as long as it takes
    while not times.exists():
        page.state()  # in sight, as somebody has it who looks at it
        page.page.wait_for_timeout(2000)
        if time.monotonic() > end:
            page.page.screenshot(path="panel.png")
            raise RuntimeError(
                "the blocks of steps did not end; panel.png shows what the page said"
            )
    rows = json.loads(times.read_text())
    page.page.close()
    longer = [(_TABS[tab], 100 * (shown[0] / bare[0] - 1)) for tab, bare, shown in rows]
    share = [(_TABS[tab], 100 * shown[1] / shown[0] / os.cpu_count()) for tab, _, shown in rows]
    found = {"step_s": round(statistics.median(bare[0] for _, bare, _ in rows), 3)}
    for kind, values in {"longer_percent": longer, "share_percent": share}.items():
        tabs = {name: [own for tab, own in values if tab == name] for name in _TABS}
        found[kind] = {
            name: [round(v, 1) for v in (statistics.median(o), min(o), max(o))]
            for name, o in tabs.items()
        }
        found[kind]["all"] = round(statistics.median(own for _, own in values), 1)
    return found


def _editor(lab: Lab, page: Page, batch: int, parts: int, moves: int = 9) -> list[float]:
    """Seconds from a key on a slider to the page's new loss and cost: median, least and most."""
    page.open(lab.write("editor", [_COST.format(name="edited", batch=batch, parts=parts), _EDITOR]))
    page.run_all()
    words = page.page.get_by_text("people: loss").last
    words.wait_for(state="attached", timeout=300_000)
    page.idle()
    handle = page.page.locator(".widget-slider", has_text="dilated").last.locator(".noUi-handle")
    found = []
    for number in range(moves):
        before, began = words.inner_text(), time.monotonic()
        handle.press("Home" if number % 2 else "End")
        while words.inner_text() == before:
            page.page.wait_for_timeout(10)
        found.append(time.monotonic() - began)
    page.page.close()
    return [round(v, 2) for v in (statistics.median(found), min(found), max(found))]


def _memory(lab: Lab, page: Page, long: int) -> list[dict]:
    """Megabytes of the kernel and of the page's scripts at some steps of a long search."""
    page.open(lab.write("long", [_LONG]))
    page.run_all()
    page.until(lambda word, step: word == "ready")
    session = page.page.context.new_cdp_session(page.page)
    page.press("RunDir")
    rows = []
    for wanted in [n * long // 10 for n in range(1, 11)]:
        page.until(lambda word, step, wanted=wanted: step >= wanted, 600)
        page.tab(_TABS[len(rows) % len(_TABS)])
        session.send("HeapProfiler.collectGarbage")
        heap = session.send("Runtime.getHeapUsage")["usedSize"] / 1e6
        run = lab.folder / "reports" / "runs" / "long"
        kernel = json.loads((run / "status.json").read_text())["pid"]
        memory = next(
            line
            for line in Path(f"/proc/{kernel}/status").read_text().splitlines()
            if "VmRSS" in line
        )
        rows.append(
            {
                "step": page.state()[1],
                "kernel_mb": int(memory.split()[1]) // 1000,
                "page_mb": round(heap, 1),
            }
        )
        print(rows[-1], flush=True)
    page.press("Stop")
    page.until(lambda word, step: word == "stopped")
    return rows


if __name__ == "__main__":
    tyro.cli(main)
