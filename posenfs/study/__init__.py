"""Experiments over many runs: ablations, their results and tables, and evaluations."""
