"""Parameters of notebooks: their defaults, and values from a command line."""

from pathlib import Path

import nbformat
import pytest

from posenfs.study.notebooks import NotebookError, run_notebook
from posenfs.study.parameters import notebook_parameters, parse_parameters
from tests.study.notebook_files import NATIVE, written

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"


def test_defaults_are_read(notebook):
    assert notebook_parameters(notebook) == {
        "name": "x", "epochs": 3, "lr": 0.1, "flag": True, "root": None, "sizes": [1, 2],
    }  # fmt: skip


def test_values_have_the_notebooks_types(notebook):
    assignments = ["name=7", "epochs=5", "lr=1", "flag=false", "root=data/mpii", "sizes=[3]"]
    assert parse_parameters(notebook, assignments) == {
        "name": "7", "epochs": 5, "lr": 1, "flag": False, "root": "data/mpii", "sizes": [3],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epoch=5", r"no parameter 'epoch'; did you mean epochs\? It has name, epochs"),
        ("zzz=5", r"no parameter 'zzz'. It has name, epochs"),
        ("epochs", "write it as name=value"),
        ("epochs=many", r"epochs is int \(3 by default\); got 'many'"),
        ("epochs=2.5", "epochs is int"),
        ("epochs=true", "epochs is int"),
        ("flag=1", "flag is bool"),
        ("sizes=3", "sizes is list"),
    ],
)
def test_wrong_names_and_types_are_refused(notebook, assignment, message):
    with pytest.raises(NotebookError, match=message):
        parse_parameters(notebook, [assignment])


def test_a_default_that_is_no_literal_is_refused(notebook):
    content = nbformat.read(notebook, 4)
    content.cells[0].source += "\nhome = list((1,))"
    nbformat.write(content, notebook)
    with pytest.raises(
        NotebookError,
        match=r"n.ipynb: the default of parameter home is 'list\(\(1,\)\)'; write a plain",
    ):
        notebook_parameters(notebook)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("source = 'part=1/day=2'\nepochs = 3", {"source": "part=1/day=2", "epochs": 3}),
        ("colour: str = '#c04040'  # red\nepochs = 3", {"colour": "#c04040", "epochs": 3}),
        ("a = 'x # = y'; b = -1e-3", {"a": "x # = y", "b": -1e-3}),
        ("a = b = 3", {"a": 3, "b": 3}),
        ("sizes = [\n    1,  # one = 1\n    2,\n]", {"sizes": [1, 2]}),
        ('text = """a = 1\nb = \'#\'"""', {"text": "a = 1\nb = '#'"}),
        ("%matplotlib inline\n!ls\nimport os\nname = 'x'", {"name": "x"}),
        ("n: int\nn = 2\nn += 1", {"n": 2}),
        ("", {}),
    ],
)
def test_defaults_are_those_of_python(tmp_path, source, expected):
    assert notebook_parameters(written(tmp_path / "n.ipynb", source, kernelspec=NATIVE)) == expected


@pytest.mark.parametrize(
    "text", ["2024", "007", "1e5", "true", "null", "3.0", "[1]", "nan", "-1", "", " x", "a=b", "#1"]
)
def test_text_stays_text(tmp_path, text):
    source = (
        "name = 'x'\nrun: str | None = None\nother: Optional[str] = None\n"
        "runs: list[str] | None = None\nkeys = ['a']\nn = 1"
    )
    notebook = written(tmp_path / "n.ipynb", source)
    for parameter in ("name", "run", "other"):
        assert parse_parameters(notebook, [f"{parameter}={text}"]) == {parameter: text}
    for parameter in ("runs", "keys"):
        assignment = f'{parameter}=[2024, 1e5, "007"]'
        assert parse_parameters(notebook, [assignment]) == {parameter: ["2024", "1e5", "007"]}


def test_notebooks_that_take_no_parameters(tmp_path):
    untagged = written(tmp_path / "n.ipynb", "epochs = 3", tags=())
    assert notebook_parameters(untagged) == {} and parse_parameters(untagged, []) == {}
    with pytest.raises(NotebookError, match="n.ipynb has no code cell tagged `parameters`, and so"):
        parse_parameters(untagged, ["epochs=3"])
    broken = written(tmp_path / "n.ipynb", "epochs = 3\nname = ")
    with pytest.raises(NotebookError, match="tagged `parameters` is not Python: .* in its line 2"):
        notebook_parameters(broken)
    julia = written(tmp_path / "n.ipynb", "n = 3", kernelspec={**NATIVE, "language": "julia"})
    with pytest.raises(NotebookError, match="is a notebook in julia; only notebooks in Python"):
        run_notebook(julia, tmp_path / "out.ipynb", {}, progress=False)


@pytest.mark.parametrize("name", ["2024", "1e5", "true", "null", "007"])
def test_names_of_runs_in_the_projects_notebooks(name):
    parameters = {
        "04_search": "name",
        "05_architectures": "run",
        "06_predictions": "run",
        "run_page": "run",
        "parent_and_child": "name",
    }
    for stem, parameter in parameters.items():
        path = NOTEBOOKS / f"{stem}.ipynb"
        assert parse_parameters(path, [f"{parameter}={name}"]) == {parameter: name}


def test_papermill_gives_no_false_alarm_about_annotated_parameters(tmp_path, caplog):
    source = "run: str | None = None\ncolour: str = '#c04040'\nsource = 'part=1'"
    notebook = written(tmp_path / "n.ipynb", source, cell="print(run)", kernelspec=NATIVE)
    run_notebook(notebook, tmp_path / "out.ipynb", {"run": "2024"}, progress=False)
    assert "unknown parameter" not in caplog.text and "Unable to parse" not in caplog.text
