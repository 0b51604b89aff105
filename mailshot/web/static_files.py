"""Serves the style sheets and icons of the pages from memory, each under its own route.

No path of a request reaches the file system, and there are no ranges.
"""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER = Path(__file__).parent / "static"
KINDS = {".css": "text/css", ".svg": "image/svg+xml"}
HOUR = {"Cache-Control": "public, max-age=3600"}


def routes() -> list[Route]:
    """Return one route /static/<name> for each file in static/."""
    return [_route(file) for file in sorted(FOLDER.iterdir()) if file.suffix in KINDS]


def _route(file: Path) -> Route:
    content, kind = file.read_bytes(), KINDS[file.suffix]

    async def serve(_: Request) -> Response:
        return Response(content, media_type=kind, headers=HOUR)

    return Route(f"/static/{file.name}", serve)
