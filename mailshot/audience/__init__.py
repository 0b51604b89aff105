"""Rules: text to conditions, conditions to one select, to a verdict on one customer, and to plain words.."""
