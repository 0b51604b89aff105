"""The stage that sends: claim, still allowed?, render, pace, hand over, settle. It reads frozen runs, never rules."""
