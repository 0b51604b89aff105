"""Records what customers and their mail servers send back, which rules can use.

Start at `tracking`, which classifies and records opens and clicks; at `preferences`, which saves posted pages; at
`withdrawals`, for requests to unsubscribe; or at `incoming_mail` and `provider_events`, which take bounces, complaints
and replies by mail and by webhook. What those change is in `incoming_effects`. Rejections during SMTP are handled where
the reply arrives (`deliver.outcome`).
"""
