"""Sends the due deliveries of a run: claim, check, render, send the body, commit the intent, send the dot, settle.

Start at `pipeline.send_batch`. The package reads frozen runs, never rules, and writes through `store.ledger`.

Words: the *dot* is the final `.` of an SMTP message, the only point of no return; the *intent* is the row committed
right before it.
"""
