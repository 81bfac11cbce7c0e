"""Many searches: notebooks run with parameters."""
