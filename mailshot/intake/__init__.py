"""Receives mail that comes back, by LMTP or SMTP, from a Maildir folder or by IMAP, and stores each message.

Start at `receiver.receive_until`. A *mailbox* is where replies and bounces arrive, as the setting MAILSHOT_MAILBOX
names it. What a message means is decided by `feedback.incoming_mail`.
"""
