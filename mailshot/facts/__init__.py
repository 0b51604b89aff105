"""What a rule or template may name: facts with their types, product filters, periods and relative dates. Pure.

Start at `catalogue.Catalogue`, the list of all facts. `yaml_values` reads typed values from YAML nodes; `comparison`
holds the operators (`at_least`, `between`, ...).
"""
