"""The pages and endpoints that customers reach: tracking, unsubscribing, preferences, own data. Nothing here sends.

Start at `app.build`, which lists all routes. `site` checks the token of each request.
"""
