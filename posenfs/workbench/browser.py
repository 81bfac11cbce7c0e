"""All runs as a table; the chosen ones beside each other."""

import html
import os
from collections.abc import Sequence

import ipywidgets as widgets
import pandas
from IPython.display import FileLink

from posenfs.search.run import Run, RunError, list_runs
from posenfs.show.curves import compared_curves
from posenfs.show.difference_graph import draw_differences
from posenfs.show.graphs import draw_fabrics
from posenfs.show.report import write_report
from posenfs.study.comparing import compare_runs
from posenfs.study.gathering import COLUMNS, runs_table
from posenfs.study.sweep import NotebookError
from posenfs.workbench.display import button, column, in_red, row, show
from posenfs.workbench.drawing import Drawing, Plot
from posenfs.workbench.following import last_architectures
from posenfs.workbench.subject import Subject

_LEAST, _AT_ONCE = 3, 12  # rows of the list to choose from that are seen without scrolling


class RunBrowser:
    """Filter by any word of a row, sort by any column; of the chosen runs the curves, of two of them the difference
    of their architectures and, where both are finished on the same people, that of their scores."""

    def __init__(self, runs: Sequence[Run] | None = None):
        self.given = runs
        self.words = widgets.Text(placeholder="filter: mpii finished", description="filter")
        self.by = widgets.Dropdown(options=list(COLUMNS), value="age", description="sort by")
        self.falling = widgets.Checkbox(False, description="falling", indent=False, layout={"width": "80px"})
        self.again = button("Look again", "refresh", "Read the folders anew", self.look)
        self.table, self.message, self.facts = (widgets.HTML() for _ in range(3))
        self.chosen = widgets.SelectMultiple(rows=_AT_ONCE, description="compare", layout={"width": "420px"})
        self.report = button("Report", "file", "The chosen runs' notebooks, each as a page", self._report)
        self.curves, self.graph, self.reports = Plot(), Drawing(), widgets.Output()
        for own in (self.words, self.by, self.falling):
            own.observe(lambda change: self._list(), "value")
        self.chosen.observe(lambda change: self._compare(), "value")
        controls = row(self.words, self.by, self.falling, self.again)
        self.widget = column(
            controls,
            self.table,
            row(self.chosen, self.report),
            self.message,
            self.reports,
            self.facts,
            self.curves,
            self.graph,
        )
        self.look()

    def _ipython_display_(self) -> None:
        show(self.widget, lambda: self.table.value)

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
        self.chosen.rows = min(max(len(names), _LEAST), _AT_ONCE)
        self.chosen.options = names
        self.chosen.value = [name for name in kept if name in names]

    def _compare(self) -> None:
        self.message.value, self.facts.value, self.reports.outputs = "", "", ()
        self.graph.draw(None)
        runs = [self.runs[name] for name in self.chosen.value]
        if not runs:
            return
        self.curves.draw(compared_curves({run.name: run.history() for run in runs}, runs[0].status().get("headline")))
        for compare in (self._compare_scores, self._compare_architectures):  # each tells what it can
            try:
                compare(runs)
            except (RunError, OSError, ValueError) as error:
                self.message.value += in_red(str(error))

    def _report(self) -> None:
        """Write the report of each chosen run where it is not there or is older than its notebook, and link to it."""
        self.message.value, self.reports.outputs = "", ()
        for run in (self.runs[name] for name in self.chosen.value):
            notebook, page = run.folder / "notebook.ipynb", run.folder / "notebook.html"
            try:
                if not page.is_file() or (notebook.is_file() and page.stat().st_mtime < notebook.stat().st_mtime):
                    write_report(notebook, page)
                self.reports.append_display_data(
                    FileLink(os.path.relpath(page), result_html_prefix=f"report of {html.escape(run.name)}: ")
                )
            except (OSError, ValueError, NotebookError) as error:
                self.message.value += in_red(str(error))

    def _compare_scores(self, runs: Sequence[Run]) -> None:
        if len(runs) == 2:
            found, metric = compare_runs(*runs)
            words = f"{metric} of {runs[1].name} less that of {runs[0].name}: {found}"
            self.facts.value = f"<p>{html.escape(words)}</p>"

    def _compare_architectures(self, runs: Sequence[Run]) -> None:
        specs = Subject(runs[0], runs[0].experiment()).specs
        if not specs:
            return
        own = last_architectures(runs[0])
        drawn = draw_fabrics(specs, own)
        if len(runs) == 2:
            drawn = draw_differences(specs, own, last_architectures(runs[1]), runs[1].name)
        self.graph.draw(drawn)


def _as_html(rows: pandas.DataFrame) -> str:
    forms = {"score": "{:.1f}", "GMAC": "{:.3f}", "params": "{:,.0f}", "age": "{:.1f} h"}
    return rows.style.format(forms, na_rep="", escape="html").hide(axis="index").to_html()
