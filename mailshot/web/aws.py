"""Fetches certificates and confirmation pages of SNS from AWS: the only addresses that the site ever fetches.

No redirect is followed and no proxy is used. `webhooks.sns` has checked the address in full, and TLS proves the host,
so a name server cannot lead the request elsewhere.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from http.client import HTTPException, HTTPSConnection
from threading import Lock
from urllib.parse import urlsplit

from mailshot.webhooks.sns import Fetch

TIMEOUT_SECONDS = 5.0
MAX_BYTES = 64 * 1024
#: AWS has one certificate a region, which it replaces about once a year.
MAX_CERTIFICATES = 20


def fetch(url: str) -> bytes:
    """Return what is at an https address. Raises OSError for any answer but 200, and after `TIMEOUT_SECONDS`."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise OSError("not an https address")
    connection = HTTPSConnection(parts.hostname, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context())
    try:
        connection.request("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path)
        response = connection.getresponse()
        if response.status != 200:
            raise OSError(f"the server answered {response.status}")
        return response.read(MAX_BYTES)
    except HTTPException as error:
        raise OSError(f"the answer cannot be read: {type(error).__name__}") from error
    finally:
        connection.close()


class CertificateCache:
    """Fetches each certificate once."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._certificates: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def get(self, url: str) -> bytes:
        """Return a certificate. Raises OSError; a failure is not kept."""
        with self._lock:
            if url not in self._certificates:
                self._certificates[url] = self._fetch(url)
                if len(self._certificates) > MAX_CERTIFICATES:
                    self._certificates.popitem(last=False)
            return self._certificates[url]
