"""Audience rules: read conditions from YAML, then compile, evaluate, describe and check them.

Start at `parse.conditions` (YAML to the tree in `nodes`). `compile` turns a condition into one SELECT, `evaluate`
decides for one customer in plain Python and records why, `describe` writes it in English, `lint` warns about
conditions that cannot be intended.

Words: a *condition* is a node of the tree; an *activity* is something a customer did (bought, opened, called); an
*aggregate* (`times`, `amount`) is computed over activities; an *audience* is a named condition.
"""
