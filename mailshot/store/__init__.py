"""All rows and all SQL.

Start at `tables` (what is stored), `engine` (connections and transactions), `ledger` (every state change of a delivery)
and `eligibility_gates` (who may be mailed). Functions take a Connection, so that the caller decides what is one
transaction.
"""
