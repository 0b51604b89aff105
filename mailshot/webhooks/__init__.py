"""Reads webhooks of mail providers: verifies who sent a request, and says what each of its events means.

Pure but for one argument: SNS needs a certificate, which the caller fetches. Start at `providers.verify`, which returns
the signed events of a request, and at `providers.read_event`, which reads one. Its words: a *provider* is a service
that sends our mails, an *event* is what it reports about one mail, an *identifier* is a text of an event in which our
token may stand. `feedback.provider_events` applies events.
"""
