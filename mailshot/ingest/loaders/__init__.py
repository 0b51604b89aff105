"""Loads parsed rows from the staging database into the store: one module per kind of row, on top of `loader`."""
