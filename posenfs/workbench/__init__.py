"""Widgets with which a search is stepped, seen and touched in a notebook."""
