"""Notebooks that the tests write and read."""

import nbformat

NATIVE = {"name": "python3", "display_name": "Python 3", "language": "python"}


def written(path, source, tags=("parameters",), cell="print(1)", **metadata):
    cells = [
        nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)}),
        nbformat.v4.new_code_cell(cell),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)
    return path


def output(path):
    return nbformat.read(path, 4).cells[-1].outputs[0].text
