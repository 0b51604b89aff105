"""The stage from files to rows: imports, and the traits concluded from what was imported."""
