"""Mailshot: campaigns and personalised mail from rules, templates and purchase history."""

__version__ = "0.1.0"
