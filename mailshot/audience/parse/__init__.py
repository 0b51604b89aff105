"""Reads conditions from YAML nodes. Entry point: `conditions.Parser.condition`.

Every error is reported at the line and column of its word, with a remedy.
"""
