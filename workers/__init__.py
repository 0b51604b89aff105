"""Owns the process scripts of the Procfile; refuses any logic (mailshot.tasks holds it)."""
