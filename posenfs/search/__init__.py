"""The search itself: experiment, strategies, run folder, engine."""
