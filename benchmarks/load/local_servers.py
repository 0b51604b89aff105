"""Servers in processes of their own, on free ports of this machine."""

from __future__ import annotations

import multiprocessing
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HOST = "127.0.0.1"
START_SECONDS = 30


@contextmanager
def served(serve: Callable[..., None], *serve_arguments: object) -> Iterator[int]:
    """Run `serve(port, *serve_arguments)` in a process of its own and give the port."""
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(port, *serve_arguments), daemon=True)
    process.start()
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.join()


def free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until something listens on a port. Raises TimeoutError."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection((HOST, port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"No server listens on port {port}.")
