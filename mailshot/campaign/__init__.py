"""The stage from rules to delivery rows: read, plan, launch, pause, explain. It never sends."""
