"""The web pages that customers reach from a mail: tracking, unsubscribing, preferences and their own data.

Start at `app.create_app`; each module of pages ends with its `ROUTES`. `site.verified_ids` checks a request's token.
"""
