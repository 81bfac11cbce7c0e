"""Colours of operations."""

from posenfs.viz.colours import OPERATION_COLOURS, operation_colour


def test_custom_operations_have_distinct_colours():
    operations = (*OPERATION_COLOURS, "gate", "mix")
    colours = [operation_colour(operation, operations) for operation in operations]
    assert len(set(colours)) == len(operations)
