"""The web pages that customers reach from a mail: tracking, unsubscribing, preferences and their own data.

Start at `app.build`; each module of pages ends with its `ROUTES`. `site.verified_ids` checks the token of a request.
"""
