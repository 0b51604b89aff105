"""The stage that reads ledger, feedback and purchases, and writes nothing but reports."""
