"""Reads mail that comes back: bounces, complaints, automatic answers, requests to leave, and replies.

Pure: `parser.parse` takes bytes and returns an `IncomingMessage`. Its words: a *report* is what a server says about
recipients, a *notice* its text for people, the *returned* mail is the one of ours that it quotes, a *verdict* says what
a failure means.

What a store needs to keep, so that no message is lost, applied twice or beyond a second look:

- each message as it came, before it is answered for: raw bytes with their SHA-256 (unique: mail may arrive twice), when
  and how it came, the envelope's recipient, the version of the parser that read it last, and its kind;
- for a message with a token: a feedback row with run and customer (`token.ids[:2]`), reason, codes and diagnostic. A
  token of purpose `message` with one id only is that of a service mail, which no run sent;
- for one without: an unmatched row with kind, rule, reported address and diagnostic, for people to look at. It changes
  nothing.
"""
