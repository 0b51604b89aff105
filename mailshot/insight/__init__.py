"""Reports, backtests and responses to past campaigns. Reads ledger, feedback and purchases, and writes nothing.

Start at `report.of` (what a run achieved) and `backtest.make` (a rule as of past dates, and what its customers then
bought).
"""
