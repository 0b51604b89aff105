"""Finds out whether the relay offers TLS with a certificate that is valid for its name."""

from __future__ import annotations

import asyncio
import ssl

import aiosmtplib

from mailshot.deliver.smtp import TRANSPORT_ERRORS, Server, tls_context

#: For the whole conversation.
SECONDS = 20.0


def find_problem(server: Server) -> str | None:
    """Connect, begin TLS and quit; return what is wrong with it, None when nothing is."""
    return asyncio.run(_try_tls(server))


async def _try_tls(server: Server) -> str | None:
    client = aiosmtplib.SMTP(
        hostname=server.host, port=server.port, timeout=SECONDS, use_tls=server.tls, start_tls=False,
        tls_context=tls_context(),
    )  # fmt: skip
    try:
        async with asyncio.timeout(SECONDS):
            await client.connect()
            if server.tls:
                return None
            await client.ehlo()
            if not client.supports_extension("starttls"):
                return "it does not offer STARTTLS, so mails and password travel in clear text"
            await client.starttls()
            return None
    except ssl.SSLError as error:
        return f"its certificate is not valid: {error}"
    except (*TRANSPORT_ERRORS, UnicodeError, TimeoutError) as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, ssl.SSLError):
            return f"its certificate is not valid: {cause}"
        return f"it cannot be reached: {error or type(error).__name__}"
    finally:
        client.close()
