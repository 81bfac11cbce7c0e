"""Graphs, curves, poses and reports."""
