"""What DNS and the relay say about a sender: whether receivers can tell that its mails are genuine.

Start at `checks`. A check gives findings: `ok`, `warn` or `fail`, and where it helps the DNS record to publish.
`dns_lookup` is the only module that asks a name server; `spf` and `dmarc` evaluate what is published.
"""
