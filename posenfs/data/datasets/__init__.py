"""Data sets: a reader each, and the catalogue of them. Imports nothing, so that processes that draw start at once."""
