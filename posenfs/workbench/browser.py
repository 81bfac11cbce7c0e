"""All runs as a table; the chosen ones beside each other."""

import html
from collections.abc import Sequence

import ipywidgets as widgets
import pandas
from IPython.display import display

from posenfs.search.run import Run, RunError, list_runs
from posenfs.show.curves import compared_curves
from posenfs.show.difference_graph import draw_differences
from posenfs.show.graphs import draw_fabrics
from posenfs.study.comparing import compare_runs
from posenfs.study.gathering import COLUMNS, runs_table
from posenfs.workbench.following import last_architectures
from posenfs.workbench.subject import Subject
from posenfs.workbench.views import Plot, in_red

_AT_ONCE = 12  # rows of the list to choose from that are seen without scrolling


class RunBrowser:
    """Filter by any word of a row, sort by any column; of the chosen runs the curves, of two of them the difference
    of their architectures and, where both are finished on the same people, that of their scores."""

    def __init__(self, runs: Sequence[Run] | None = None):
        self.given = runs
        self.words = widgets.Text(placeholder="filter: mpii finished", description="filter")
        self.by = widgets.Dropdown(options=list(COLUMNS), value="age", description="sort by")
        self.falling = widgets.Checkbox(False, description="falling", indent=False, layout={"width": "80px"})
        self.again = widgets.Button(description="Look again", icon="refresh", tooltip="Read the folders anew")
        self.table, self.message, self.facts, self.graph = (widgets.HTML() for _ in range(4))
        self.chosen = widgets.SelectMultiple(rows=_AT_ONCE, description="compare", layout={"width": "420px"})
        self.curves = Plot()
        for own in (self.words, self.by, self.falling):
            own.observe(lambda change: self._list(), "value")
        self.chosen.observe(lambda change: self._compare(), "value")
        self.again.on_click(lambda _: self.look())
        controls = widgets.HBox([self.words, self.by, self.falling, self.again], layout={"flex_flow": "row wrap"})
        self.widget = widgets.VBox(
            [controls, self.table, self.chosen, self.message, self.facts, self.curves.widget, self.graph]
        )
        self.look()

    def _ipython_display_(self) -> None:
        display(self.widget)

    def look(self) -> None:
        """Read all runs anew."""
        self.runs = {run.name: run for run in (list_runs() if self.given is None else self.given)}
        self.rows = runs_table(list(self.runs.values()))
        self._list()

    def _list(self) -> None:
        rows = self.rows.sort_values(self.by.value, ascending=not self.falling.value, kind="stable")
        for word in self.words.value.lower().split():
            rows = rows.loc[[word in " ".join(map(str, row)).lower() for row in rows.itertuples(index=False)]]
        self.table.value = _as_html(rows) if len(rows) else "<p>no such run</p>"
        names, kept = rows["run"].tolist(), self.chosen.value
        self.chosen.options = names
        self.chosen.value = [name for name in kept if name in names]

    def _compare(self) -> None:
        self.message.value = self.facts.value = self.graph.value = ""
        runs = [self.runs[name] for name in self.chosen.value]
        if not runs:
            return
        self.curves.draw(compared_curves({run.name: run.history() for run in runs}, runs[0].status().get("headline")))
        try:
            self._compare_architectures(runs)
            if len(runs) == 2:
                found, metric = compare_runs(*runs)
                self.facts.value = (
                    f"<p>{metric} of {runs[1].name} less that of {runs[0].name}: {html.escape(str(found))}</p>"
                )
        except (RunError, ValueError) as error:
            self.message.value = in_red(str(error))
        self.facts.value += "".join(_report_of(run) for run in runs)

    def _compare_architectures(self, runs: Sequence[Run]) -> None:
        specs = Subject(runs[0]).specs
        if not specs:
            return
        own = last_architectures(runs[0])
        drawn = draw_fabrics(specs, own)
        if len(runs) == 2:
            drawn = draw_differences(specs, own, last_architectures(runs[1]), runs[1].name)
        self.graph.value = f"<div style='background: white'>{drawn.svg()}</div>"


def _report_of(run: Run) -> str:
    page = run.folder / "notebook.html"
    where = (
        f"report of {run.name}: <code>{page}</code>"
        if page.is_file()
        else f"<code>posenfs report {run.name}</code> writes its report"
    )
    return f"<div>{where}</div>"


def _as_html(rows: pandas.DataFrame) -> str:
    forms = {"score": "{:.1f}", "GMAC": "{:.3f}", "params": "{:,.0f}", "age": "{:.1f} h"}
    return rows.style.format(forms, na_rep="").hide(axis="index").to_html()
