"""Parameters of notebooks: their defaults, and values from a command line."""

import ast
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

from posenfs.data.datasets.catalogue import home
from posenfs.messages import suggestion
from posenfs.study.notebooks import NotebookError, check_language, read_notebook


@dataclass(frozen=True)
class Parameter:
    """A parameter of a notebook: its default, and its annotation as in the cell, or ""."""

    default: Any
    annotation: str = ""

    @property
    def is_text(self) -> bool:
        """Whether values are text, also those that look like numbers, such as the run 2024."""
        is_text = re.fullmatch(r"str( \| None)?|None \| str|Optional\[str\]", self.annotation)
        return isinstance(self.default, str) or is_text is not None


def notebook_parameters(notebook: Path) -> dict[str, Any]:
    """Return names and default values from a notebook's cell tagged `parameters`.

    Args:
        notebook: The notebook.

    Raises:
        NotebookError: There is no notebook, it is not in Python, or a default is not a literal.
    """
    return {name: each.default for name, each in _parameters(notebook).items()}


def _parameters(notebook: Path) -> dict[str, Parameter]:
    if not notebook.is_file():
        folder = home() / "notebooks"
        names = ", ".join(path.stem for path in sorted(folder.glob("*.ipynb")))
        hint = f"; the project's are in {folder}: {names}" if names else ""
        raise NotebookError(f"no notebook at {notebook}{hint}")
    content = read_notebook(notebook)
    check_language(notebook, content)
    cell = _parameters_cell(content)
    if cell is None:
        return {}
    try:
        # The cell may hold commands of IPython, such as %matplotlib.
        statements = ast.parse(TransformerManager().transform_cell(cell.source)).body
    except SyntaxError as error:
        raise NotebookError(
            f"{notebook}: the cell tagged `parameters` is not Python: {error.msg} in its line "
            f"{error.lineno}"
        ) from None
    parameters: dict[str, Parameter] = {}
    for statement in statements:
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets: list[ast.expr] = [statement.target]
            annotation = ast.unparse(statement.annotation)
        elif isinstance(statement, ast.Assign):
            targets, annotation = statement.targets, ""
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name):
                default = _literal(notebook, target.id, statement.value)
                parameters[target.id] = Parameter(default, annotation)
    return parameters


def _parameters_cell(content: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    for cell in content.cells:
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", []):
            return cell
    return None


def _literal(notebook: Path, name: str, value: ast.expr) -> Any:
    try:
        return ast.literal_eval(value)
    except ValueError:
        raise NotebookError(
            f"{notebook}: the default of parameter {name} is {ast.unparse(value)!r:.100}; write a "
            "plain value there, and compute with it in a later cell"
        ) from None


def parse_parameters(notebook: Path, assignments: Sequence[str]) -> dict[str, Any]:
    """Parse ["epochs=3", …] and check names and types against the notebook's parameters.

    Args:
        notebook: The notebook.
        assignments: Names and values; a value is JSON, or else text.

    Raises:
        NotebookError: An assignment is malformed, or its name or type is wrong.
    """
    parameters = _parameters(notebook)
    if assignments and _parameters_cell(read_notebook(notebook)) is None:
        raise NotebookError(
            f"{notebook} has no code cell tagged `parameters`, and so it takes none; give the cell "
            "of its defaults that tag (JupyterLab: Property Inspector, Cell Tags)"
        )
    values = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise NotebookError(f"-p {assignment}: write it as name=value")
        name = name.strip()
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise NotebookError(
                f"{notebook} has no parameter {name!r}{suggestion(name, parameters)} It has {known}"
            )
        values[name] = _typed(notebook, name, text, parameters[name])
    return values


def _typed(notebook: Path, name: str, text: str, parameter: Parameter) -> Any:
    default, value = parameter.default, _json_value(text, _holds_text(parameter))
    if parameter.is_text:
        return value if isinstance(value, str) else text
    if default is None or value is None:
        return value
    expected = type(default)
    if type(value) is expected or (expected is float and type(value) is int):
        return value
    raise NotebookError(
        f"{notebook}: parameter {name} is {expected.__name__} ({default!r} by default); "
        f"got {text!r}"
    )


def _holds_text(parameter: Parameter) -> bool:
    """Whether a parameter is a list of texts, such as names of runs."""
    default = parameter.default
    is_list = isinstance(default, list) and bool(default)
    return "list[str]" in parameter.annotation or (
        is_list and all(isinstance(item, str) for item in default)
    )


def _json_value(text: str, keep_numbers: bool) -> Any:
    """Return the value of a JSON text, or the text; numbers can be kept as they are written."""
    parsers = {"parse_int": str, "parse_float": str} if keep_numbers else {}
    try:
        return json.loads(text, **parsers)
    except ValueError:
        return text
