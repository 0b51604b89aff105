"""Serves a web application with uvicorn, in this thread or another, and shuts down gracefully."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Sequence

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import LOGGING_CONFIG

from mailshot import logs
from mailshot.errors import Unavailable
from mailshot.web import connections

#: How long requests in progress may take after a stop.
DRAIN_SECONDS = 10
MAX_START_SECONDS = 15.0
PORT_SETTING = "MAILSHOT_WEB_PORT"
_REASONS = {
    errno.EADDRINUSE: "another program uses the port",
    errno.EACCES: "this needs an administrator's rights",
    errno.EADDRNOTAVAIL: "this machine does not have the address",
}


def serve_app(app: ASGIApp, host: str, port: int, proxies: Sequence[str] = ()) -> None:
    """Serve until SIGTERM or SIGINT, finish the requests in progress and return. Raises Unavailable for a used port.

    `proxies` are the addresses whose X-Forwarded-For is trusted.
    """
    try:
        server(app, host, port, proxies).run()
    except SystemExit:
        raise cannot_listen(host, port) from None


def check_port(host: str, port: int, setting: str = PORT_SETTING) -> None:
    """Raise Unavailable if a port cannot be listened on. `setting` is the setting that names it."""
    try:
        for family, *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
            socket.create_server(address[:2], family=family).close()
    except OSError as error:
        raise cannot_listen(host, port, setting, error) from None


def cannot_listen(host: str, port: int, setting: str = PORT_SETTING, error: OSError | None = None) -> Unavailable:
    """Return the error about a port that cannot be listened on."""
    number = error.errno if error and error.errno else errno.EADDRINUSE
    reason = _REASONS.get(number, os.strerror(number))
    remedy = f"Stop what uses it, perhaps another 'mailshot up', or set {setting} to another port."
    return Unavailable(f"Cannot listen on {host}:{port}: {reason}.", remedy)


class ThreadedServer:
    """A server in a thread of its own, between start() and stop()."""

    def __init__(
        self, app: ASGIApp, host: str, port: int, proxies: Sequence[str] = (), setting: str = PORT_SETTING
    ) -> None:
        self.host, self.port = host, port
        self._setting = setting
        self._app, self._proxies = app, proxies
        self._server = server(app, host, port, proxies)
        self._thread = threading.Thread(target=self._run, name=f"web-{port}", daemon=True)

    def start(self) -> None:
        """Return once the port answers. Raises Unavailable when another process uses it."""
        self.check_port()
        self._thread.start()
        deadline = time.monotonic() + MAX_START_SECONDS
        while not self._server.started and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        if not self._server.started:
            raise cannot_listen(self.host, self.port, self._setting)

    def check_port(self) -> None:
        """Raise Unavailable if the port cannot be listened on."""
        check_port(self.host, self.port, self._setting)

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
    # Paths carry tokens, so there is no access log. Logs in JSON have one handler, which is not uvicorn's.
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=connections.bounded(proxies),
        ws="none",
        access_log=False,
        log_level="warning",
        log_config=None if logs.are_json() else LOGGING_CONFIG,
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
