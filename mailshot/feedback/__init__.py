"""Records what customers do with a mail: opens, clicks, unsubscribes and preference changes, which rules can use.

Start at `tracking`, which classifies and records opens and clicks, or `preferences`, which saves posted pages.

Rejections during SMTP are handled where the reply arrives (`deliver.outcome`). `incoming.parser` reads bounces and
complaints that arrive as mail; nothing calls it yet. What is to call it belongs here, in a module `bounces`: record a
`bounced` row (`store.feedback`) and suppress the address (`store.suppression`), if the message has a verified token.
"""
