"""A search in a process of its own outlives the page and the kernel, and is steered again from a new one."""

from posenfs.search.run_dir import RunDir

CELLS = [
    """from posenfs import *
experiment = Experiment(
    name="far", data=DataSpec("synthetic", None, (48, 8)), image_size=(64, 64), fabric=FabricSpec(width=2),
    training=TrainingConfig(epochs=500, batch_size=8),
)""",
    "SearchPanel(experiment)",
]


def test_tab_and_kernel_come_and_go(lab, page):
    page.open(lab.write("far", CELLS))
    page.run_all()
    page.until(lambda word, step: word == "ready" and step == 0)
    page.press("Run")
    page.until(lambda word, step: word == "running" and step > 3)
    run = RunDir(lab.folder / "reports/runs/far")
    process = run.status()["pid"]
    page.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")  # waited for

    page.page.reload(wait_until="domcontentloaded")
    page.begun()
    before = run.status()["step"]
    page.run_all()
    page.until(lambda word, step: word == "running" and step > before)

    old = page.page.locator(".posenfs-state").last.element_handle()
    page.command("notebook:restart-run-all")
    page.page.locator(".jp-Dialog .jp-mod-accept").click()
    page.becomes(
        lambda: old.evaluate("element => element.isConnected"), lambda there: not there, 120
    )
    before = run.status()["step"]
    page.until(lambda word, step: word == "running" and step > before)
    assert run.status()["pid"] == process
    page.press("Pause")
    page.until(lambda word, step: word == "paused")
    held = page.state()[1]
    page.press("Step")
    page.until(lambda word, step: word == "paused" and step == held + 1)
    page.press("Stop")
    page.until(lambda word, step: word == "stopped" and step == held + 1)
    assert run.checkpoints.steps()[-1] == held + 1 and not run.in_use()
    assert page.elsewhere == [] and page.errors == []
