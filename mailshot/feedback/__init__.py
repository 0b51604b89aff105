"""Records what customers do with a mail: opens, clicks, unsubscribes and preference changes, which rules can use.

Start at `tracking`, which classifies and records opens and clicks, or `preferences`, which saves posted pages.

Rejections during SMTP are handled where the reply arrives (`deliver.outcome`). Bounces and complaints that arrive as
mail are not read yet. They belong here, in a module `bounces`: verify the token of the bounce address (`tokens`),
record a `bounced` row (`store.feedback`) and suppress the address (`store.suppression`).
"""
