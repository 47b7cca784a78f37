"""Measurements of the whole product, with its budgets and its peers beside them; `make bench` runs them."""
