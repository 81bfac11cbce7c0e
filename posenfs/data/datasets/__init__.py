"""Data sets: one reader each, and the catalogue. No imports, so drawing processes start fast."""
