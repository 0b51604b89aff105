"""What is known about one customer: address, activities, topics, preferences, traits, lifecycle. Pure values, no rows.

Start at `customer.Profile`, the customer as rules see it, and `activity.ActivityKind`, the kinds of activity a rule
may count.

Words: a *preference* was stated by the customer; a *trait* was inferred, with evidence; a *bucket* is a stable random
number.
"""
