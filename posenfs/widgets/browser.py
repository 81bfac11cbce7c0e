"""A table of all runs, with a comparison of the selected ones."""

import html
import os
from collections.abc import Sequence

import ipywidgets as widgets
import pandas
from IPython.display import FileLink

from posenfs.search.checkpoints import RunError
from posenfs.search.run_dir import RunDir, list_runs
from posenfs.study.notebooks import NotebookError
from posenfs.study.runs import COLUMNS, compare_runs, runs_table
from posenfs.viz.curves import compared_curves
from posenfs.viz.difference_graph import draw_differences
from posenfs.viz.fabric_graph import draw_fabrics
from posenfs.viz.report import write_report
from posenfs.widgets.display import button, column, error_html, row, show
from posenfs.widgets.plot import Drawing, Plot
from posenfs.widgets.run_context import RunContext
from posenfs.widgets.run_reader import last_architectures

# The fewest and the most rows of the list of runs that are visible without scrolling.
_MIN_VISIBLE, _MAX_VISIBLE = 3, 12


class RunBrowser:
    """A table of runs, filtered by any text and sorted by any column.

    It draws the curves of the selected runs. For two runs it also shows the difference of their
    architectures and, where both are finished on the same validation split, that of their scores.

    Args:
        runs: The runs to show; None for all runs of the runs folder.
    """

    def __init__(self, runs: Sequence[RunDir] | None = None):
        self._given_runs = runs
        self.filter = widgets.Text(placeholder="filter: mpii finished", description="filter")
        self.sort_by = widgets.Dropdown(options=list(COLUMNS), value="age", description="sort by")
        self.descending = widgets.Checkbox(
            False, description="descending", indent=False, layout={"width": "100px"}
        )
        self.table, self.message, self.facts = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.chosen = widgets.SelectMultiple(
            rows=_MAX_VISIBLE, description="compare", layout={"width": "420px"}
        )
        self.report = button(
            "Report", "file", "Write the notebook of each selected run as a page", self._report
        )
        self.curves, self.graph, self.reports = Plot(), Drawing(), widgets.Output()
        for control in (self.filter, self.sort_by, self.descending):
            control.observe(lambda change: self._list(), "value")
        self.chosen.observe(lambda change: self._compare(), "value")
        refresh = button("Look again", "refresh", "Read the folders again", self.reload)
        self.widget = column(
            row(self.filter, self.sort_by, self.descending, refresh),
            self.table,
            row(self.chosen, self.report),
            self.message,
            self.reports,
            self.facts,
            self.curves,
            self.graph,
        )
        self.reload()

    def _ipython_display_(self) -> None:
        show(self.widget, lambda: self.table.value)

    def reload(self) -> None:
        """Read all runs from disk."""
        runs = list_runs() if self._given_runs is None else self._given_runs
        self.runs = {run.name: run for run in runs}
        self.rows = runs_table(list(self.runs.values()))
        self._list()

    def _list(self) -> None:
        """Filter and sort the table."""
        rows = self.rows.sort_values(
            self.sort_by.value, ascending=not self.descending.value, kind="stable"
        )
        for word in self.filter.value.lower().split():
            texts = (" ".join(map(str, row)).lower() for row in rows.itertuples(index=False))
            rows = rows.loc[[word in text for text in texts]]
        self.table.value = _as_html(rows) if len(rows) else "<p>no such run</p>"
        names, selected = rows["run"].tolist(), self.chosen.value
        self.chosen.rows = min(max(len(names), _MIN_VISIBLE), _MAX_VISIBLE)
        self.chosen.options = names
        self.chosen.value = [name for name in selected if name in names]

    def _compare(self) -> None:
        """Draw the curves and the architectures of the selected runs."""
        self.message.value, self.facts.value, self.reports.outputs = "", "", ()
        self.graph.draw(None)
        runs = [self.runs[name] for name in self.chosen.value]
        if not runs:
            return
        for compare in (self._compare_curves, self._compare_scores, self._compare_architectures):
            try:
                compare(runs)
            except (RunError, OSError, ValueError) as error:
                self.message.value += error_html(str(error))

    def _report(self) -> None:
        """Write the missing and outdated reports of the selected runs, and link to all."""
        self.message.value, self.reports.outputs = "", ()
        for name in self.chosen.value:
            run = self.runs[name]
            notebook, page = run.folder / "notebook.ipynb", run.folder / "notebook.html"
            try:
                outdated = not page.is_file() or (
                    notebook.is_file() and page.stat().st_mtime < notebook.stat().st_mtime
                )
                if outdated:
                    write_report(notebook, page)
                prefix = f"report of {html.escape(run.name)}: "
                link = FileLink(os.path.relpath(page), result_html_prefix=prefix)
                self.reports.append_display_data(link)
            except (OSError, ValueError, NotebookError) as error:
                self.message.value += error_html(str(error))

    def _compare_curves(self, runs: Sequence[RunDir]) -> None:
        histories = {run.name: run.history() for run in runs}
        self.curves.draw(compared_curves(histories, runs[0].status().get("primary_metric")))

    def _compare_scores(self, runs: Sequence[RunDir]) -> None:
        if len(runs) == 2:
            difference, metric = compare_runs(*runs)
            text = f"{metric} of {runs[1].name} less that of {runs[0].name}: {difference}"
            self.facts.value = f"<p>{html.escape(text)}</p>"

    def _compare_architectures(self, runs: Sequence[RunDir]) -> None:
        specs = RunContext(runs[0], runs[0].experiment()).specs
        if not specs:
            return
        architectures = last_architectures(runs[0])
        canvas = draw_fabrics(specs, architectures)
        if len(runs) == 2:
            canvas = draw_differences(
                specs, architectures, last_architectures(runs[1]), runs[1].name
            )
        self.graph.draw(canvas)


def _as_html(rows: pandas.DataFrame) -> str:
    formats = {"score": "{:.1f}", "GMAC": "{:.3f}", "params": "{:,.0f}", "age": "{:.1f} h"}
    return rows.style.format(formats, na_rep="", escape="html").hide(axis="index").to_html()
