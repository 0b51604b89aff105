"""Statistics for reports and traits: intervals of proportions and means, and a beta-binomial fit. Pure functions."""
