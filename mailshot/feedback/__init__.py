"""Records what customers and their mail servers send back, which rules can use.

Start at `tracking`, which classifies and records opens and clicks, at `preferences`, which saves posted pages, or at
`incoming_mail`, which applies bounces, complaints and replies. Rejections during SMTP are handled where the reply
arrives (`deliver.outcome`).
"""
