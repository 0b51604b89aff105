"""Serves a web application with uvicorn, in this thread or another, and shuts down gracefully."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import uvicorn
from starlette.types import ASGIApp

from mailshot.errors import Unavailable
from mailshot.web import connections

#: How long requests in progress may take after a stop.
DRAIN_SECONDS = 10
MAX_START_SECONDS = 15.0


def serve_app(app: ASGIApp, host: str, port: int, proxies: Sequence[str] = ()) -> None:
    """Serve until SIGTERM or SIGINT, finish the requests in progress and return. Raises Unavailable for a used port.

    `proxies` are the addresses whose X-Forwarded-For is trusted.
    """
    try:
        server(app, host, port, proxies).run()
    except SystemExit:
        raise _taken(host, port) from None


class ThreadedServer:
    """A server in a thread of its own, between start() and stop()."""

    def __init__(self, app: ASGIApp, host: str, port: int, proxies: Sequence[str] = ()) -> None:
        self.host, self.port = host, port
        self._app, self._proxies = app, proxies
        self._server = server(app, host, port, proxies)
        self._thread = threading.Thread(target=self._run, name=f"web-{port}", daemon=True)

    def start(self) -> None:
        """Return once the port answers. Raises Unavailable when another process uses it."""
        self._thread.start()
        deadline = time.monotonic() + MAX_START_SECONDS
        while not self._server.started and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        if not self._server.started:
            raise _taken(self.host, self.port)

    def serve(self) -> None:
        """Serve in this thread until SIGTERM or SIGINT, instead of start() and stop()."""
        serve_app(self._app, self.host, self.port, self._proxies)

    def stop(self) -> None:
        """Finish the requests in progress and close the port."""
        self._server.should_exit = True
        self._thread.join()

    def _run(self) -> None:
        try:
            self._server.run()
        except SystemExit:  # uvicorn cannot listen; start() reports it
            return


def server(app: ASGIApp, host: str, port: int, proxies: Sequence[str] = ()) -> uvicorn.Server:
    """Return a server to run in any thread; it ends when its `should_exit` is set to true."""
    # Paths carry tokens, so there is no access log.
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=connections.bounded(proxies),
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        backlog=connections.BACKLOG,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=16 * 1024,
    )
    connections.limit_logs()
    return uvicorn.Server(config)


def _taken(host: str, port: int) -> Unavailable:
    return Unavailable(f"Cannot listen on {host}:{port}.", "Is another process using the port?")
