"""Adds security headers to every response, and rejects requests with oversized headers."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
MAX_HEADER_BYTES = 16 * 1024
PROTECTION = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Cache-Control": "no-store",
}
#: As ASGI carries headers: names in lower case (ASGI specification, "Response Start").
_RAW = [(name.lower().encode(), value.encode()) for name, value in PROTECTION.items()]


async def server_error(request: Request, error: Exception) -> Response:
    """Respond to an error in our code. Starlette does this outside all middleware, so the headers are added here."""
    return PlainTextResponse("Something went wrong on our side.\n", 500, PROTECTION)


class SecurityHeaders:
    """Middleware that adds the headers of `PROTECTION` that a response does not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                message["headers"].extend(header for header in _RAW if header[0] not in present)
            await send(message)

        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            await PlainTextResponse("The request's headers are too large.\n", 431)(scope, receive, protected)
        else:
            await self.app(scope, receive, protected)
