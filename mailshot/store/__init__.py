"""The store: every row and every line of SQL.

Functions take a Connection, so that the caller decides what is one transaction."""
