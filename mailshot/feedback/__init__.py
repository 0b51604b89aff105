"""Records what customers do with a mail: opens, clicks, unsubscribes and preference changes, which rules can use.

Start at `tracking`, which classifies and records opens and clicks, or `preferences`, which saves posted pages.
"""
