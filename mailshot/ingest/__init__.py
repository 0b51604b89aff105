"""Imports files into the store, and infers traits from what was imported.

Start at `importer.run_import`: it reads every file into a DuckDB staging database, reports every bad row, and only then
writes to the store in one course of loaders (`loaders/`).

Words: a *mapping* says which column feeds which field; a *reject* is a row that cannot be imported.
"""
