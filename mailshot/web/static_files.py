"""Serves the few files that the pages link to from memory.

Each file has a route of its own, so no path of a request is ever looked up in the file system.
"""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

STATIC = Path(__file__).parent / "static"
MEDIA_TYPES = {".css": "text/css", ".svg": "image/svg+xml"}
CACHE_ONE_HOUR = {"Cache-Control": "public, max-age=3600"}


def routes(folder: Path = STATIC) -> list[Route]:
    """Return a route /static/<name> for each style sheet and icon of a folder."""
    return [_route(file) for file in sorted(folder.iterdir()) if file.suffix in MEDIA_TYPES]


def _route(file: Path) -> Route:
    content, media_type = file.read_bytes(), MEDIA_TYPES[file.suffix]

    async def serve(_: Request) -> Response:
        return Response(content, media_type=media_type, headers=CACHE_ONE_HOUR)

    return Route(f"/static/{file.name}", serve)
