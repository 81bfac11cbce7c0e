"""Every tab, slider and menu of the panel answers while a cell awaits the search: paused, running and finished."""

TABS = {  # a tab, and what it has once it is drawn
    "Curves": ".js-plotly-plot .scatterlayer path",
    "Alpha": ".js-plotly-plot .heatmaplayer image",
    "Beta": ".js-plotly-plot .heatmaplayer image",
    "Fabric": "svg g.cell",
    "Predictions": "img",
    "Cost": "table",
    "Log": "pre",
}
SMALL = {"train_images": 48, "valid_images": 12, "image_size": 64, "width": 2, "batch_size": 8}


def shown(page):
    """The page of the tab that is looked at."""
    return page.page.locator(
        ".posenfs .widget-tab-contents > .jupyter-widgets:not(.lm-mod-hidden)"
    ).last


def turn_through_all_tabs(page) -> None:
    for name, drawn in TABS.items():
        page.tab(name)
        shown(page).locator(drawn).first.wait_for(timeout=60_000)
        shown(page).get_by_text("drawing …").wait_for(state="detached")


def choose(page, menu: int, option: int) -> str:
    """Choose an option of a menu on the tab that is looked at, by its number; returns its label."""
    select = shown(page).locator("select").nth(menu)
    label = select.locator("option").nth(option).text_content()
    select.select_option(index=option)
    return label.replace("\xa0", " ")


def image(page) -> str:
    """The last image on the tab that is looked at."""
    return shown(page).locator("img").last.get_attribute("src")


def use_every_control(page) -> None:
    """Move each slider and menu of the panel, twice, and see its effect on the page."""
    note = page.page.get_by_text("the weights of step").last
    page.tab("Fabric")
    for _ in range(2):
        page.slider("at step").press("Home")
        page.becomes(note.inner_text, lambda text: text.startswith("the weights of step 0"))
        assert not shown(page).locator("input[type=checkbox]").is_checked()
        label = choose(page, 0, 1)
        page.becomes(
            note.inner_text, lambda text, label=label: text.endswith(f"less that of {label}")
        )
        choose(page, 0, 0)
        page.becomes(note.inner_text, lambda text: "less" not in text)
        choose(page, 1, 2)
        shown(page).get_by_text("Eq. 3: concatenation").wait_for()
        choose(page, 1, 0)
        shown(page).get_by_text("Eq. 3: concatenation").wait_for(state="detached")
        shown(page).locator("input[type=checkbox]").check()
        page.becomes(note.inner_text, lambda text: not text.startswith("the weights of step 0"))
        page.slider("checkpoint").press("Home")
        page.becomes(note.inner_text, lambda text: text.startswith("the weights of step 0"))
        page.slider("checkpoint").press("End")
        page.becomes(note.inner_text, lambda text: not text.startswith("the weights of step 0"))
    page.tab("Predictions")
    for person, keypoint in ((1, 2), (0, 0)):
        before = image(page)
        choose(page, 0, person)
        before = page.becomes(lambda: image(page), lambda now, before=before: now != before)
        choose(page, 1, keypoint)
        page.becomes(lambda: image(page), lambda now, before=before: now != before)


def use_everything(page) -> None:
    for _ in range(2):
        turn_through_all_tabs(page)
    use_every_control(page)


def test_tabs_sliders_and_menus_answer_while_paused_and_running(lab, page):
    page.open(lab.put("04_search", **SMALL, name="live", epochs=1000))
    page.run_all()
    page.until(lambda word, step: word == "ready" and step == 0)
    page.tab("Alpha")
    shown(page).get_by_text("The first training step logs alpha and beta").wait_for()
    page.press("Epoch")
    page.until(lambda word, step: word == "paused" and step > 1)
    use_everything(page)
    page.press("Run")
    page.until(lambda word, step: word == "running")
    use_everything(page)
    assert page.state()[0] == "running"
    page.press("Stop")
    page.until(lambda word, step: word == "stopped")
    use_everything(page)
    assert page.elsewhere == [] and page.errors == []


def test_tabs_sliders_and_menus_answer_once_finished(lab, page):
    page.open(lab.put("04_search", **SMALL, name="over", epochs=1))
    page.run_all()
    page.until(lambda word, step: word == "ready" and step == 0)
    page.press("Run")
    page.until(lambda word, step: word == "finished")
    page.idle()
    use_everything(page)
    assert page.elsewhere == [] and page.errors == []
