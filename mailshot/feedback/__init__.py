"""The stage that takes what comes back from customers and writes it where the next rule reads it."""
