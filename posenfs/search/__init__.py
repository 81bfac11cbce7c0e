"""Experiments, strategies, training, run directories, checkpoints and the search itself."""
