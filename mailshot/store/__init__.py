"""All rows and all SQL.

Start at `tables` (what is stored), `engine` (connections and transactions) and `ledger` (every state change of a
delivery). Functions take a Connection, so that the caller decides what is one transaction.
"""
