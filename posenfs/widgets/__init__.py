"""Notebook widgets that run, show and edit a search."""
