"""The fault programme: runs are sent by real processes while these are killed, frozen, cut off and starved.

Each cell (`cells`) is one kind of fault. A trial (`trial`) is one run of it; the mail server (`sink`) is independent of
Mailshot, and `checker` compares its log with the ledger. `python -m tests.torture --list` shows the cells.
"""
