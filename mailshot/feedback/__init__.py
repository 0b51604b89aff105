"""What comes back from customers: opens, clicks, unsubscribes and preferences, written where the next rule reads them.

`tracking` classifies and records opens and clicks; `preferences` saves what a customer stated or withdrew.
"""
