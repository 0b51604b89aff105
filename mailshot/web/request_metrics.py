"""Counts requests by method, route and status, and times them.

A route is the pattern of a path. The path itself carries the token of a customer and never becomes a label.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mailshot import metrics

#: Every other method is "other": a client may write anything there.
METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})
#: The route of a request that no route took.
NO_ROUTE = "none"


class RequestMetrics:
    """Middleware that counts what the application inside it answers. It must be the outermost one."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self.app = app
        # The router notes in the scope whom it called and with which parameters, but not the route.
        self._patterns: dict[tuple[object, frozenset[str]], str] = {
            (route.endpoint, frozenset(route.param_convertors)): route.path
            for route in routes
            if isinstance(route, Route)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except Exception:
            status = status or 500  # the server answers so, outside all middleware
            raise
        finally:
            self._count(scope, status, time.perf_counter() - began)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        key = (scope.get("endpoint"), frozenset(scope.get("path_params", ())))
        route = self._patterns.get(key, NO_ROUTE)
        method = scope["method"] if scope["method"] in METHODS else "other"
        metrics.REQUESTS.add(1, method, route, str(status))
        metrics.REQUEST_SECONDS.observe(seconds, route)
