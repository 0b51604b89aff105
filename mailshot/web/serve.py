"""Owns listening on a port and ending without cutting an answer short; refuses to know what is answered."""

from __future__ import annotations

import uvicorn
from starlette.types import ASGIApp

DRAIN = 10  # seconds


def server(app: ASGIApp, host: str, port: int) -> uvicorn.Server:
    """Return a server to run in a thread; it ends when `should_exit` is set to true."""
    # Paths carry tokens, so there is no access log.
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http="h11",
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=DRAIN,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=16 * 1024,
    )
    return uvicorn.Server(config)


def run(app: ASGIApp, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then answer what has begun and return."""
    server(app, host, port).run()
