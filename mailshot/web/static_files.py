"""Owns the few files our pages link to, served from memory; refuses paths from a request, and ranges."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

KINDS = {".css": "text/css", ".svg": "image/svg+xml"}
HOUR = {"Cache-Control": "public, max-age=3600"}


def routes(folder: Path) -> list[Route]:
    """Return one route /static/<name> for each file of the folder."""
    return [_route(file) for file in sorted(folder.iterdir()) if file.suffix in KINDS]


def _route(file: Path) -> Route:
    content, kind = file.read_bytes(), KINDS[file.suffix]

    async def serve(_: Request) -> Response:
        return Response(content, media_type=kind, headers=HOUR)

    return Route(f"/static/{file.name}", serve)
