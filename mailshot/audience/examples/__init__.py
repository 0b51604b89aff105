"""Reads the `examples:` of a rule file: made-up customers, and whether the rule matches them.

Entry point: `example_reader.read_examples`. `campaign.rule_tests` runs the examples.
"""
