"""Owns handing a customer all data held about them, and erasing it; refuses to erase in one step."""

from __future__ import annotations

import asyncio
import json

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mailshot.store import dossier, scrubbing
from mailshot.store.engine import Connection
from mailshot.tokens import Purpose
from mailshot.web import forms, site

SOURCE = "preference page"
CONFIRM, WORD = "confirm", "erase"


async def export(request: Request) -> Response:
    """Hand out every row held about the customer as a JSON file."""
    customer_id = (await site.ids(request, Purpose.preferences, 1, 2))[0]
    await _known(request, customer_id)
    held = await site.of(request).read(lambda connection: dossier.export(connection, customer_id))
    text = json.dumps(held, ensure_ascii=False, indent=2)
    name = {"Content-Disposition": 'attachment; filename="my-data.json"'}
    return Response(text, media_type="application/json", headers=name)


async def page(request: Request) -> Response:
    """Say what erasing means, with the button that does it."""
    customer_id = (await site.ids(request, Purpose.preferences, 1, 2))[0]
    await _known(request, customer_id)
    return site.of(request).page("erase.html", here=f"/p/{site.token(request)}", unconfirmed=False)


async def erase(request: Request) -> Response:
    """Erase everything once the customer ticked that they mean it."""
    here, customer_id = site.of(request), (await site.ids(request, Purpose.preferences, 1, 2))[0]
    forms.refuse_foreign(request)
    posted = await forms.read(request)
    await _known(request, customer_id)
    if posted.get(CONFIRM) != WORD:
        return here.page("erase.html", 422, here=f"/p/{site.token(request)}", unconfirmed=True)
    at = here.clock()

    def apply(connection: Connection) -> bool:
        return dossier.erase(connection, customer_id, here.address_key, SOURCE, at)

    await here.group.do(apply)
    await asyncio.to_thread(scrubbing.try_now, here.store, at)
    return here.page("erased.html")


async def _known(request: Request, customer_id: int) -> dossier.Person:
    person = await site.of(request).read(lambda connection: dossier.person(connection, customer_id))
    if person is None:
        raise HTTPException(404)
    if person.erased:
        raise HTTPException(410)
    return person


# A tail, for what is glued to the address of such a page must not lead to the preferences.
ROUTES = [
    Route("/p/{token}/export{tail:path}", export),
    Route("/p/{token}/erase{tail:path}", page),
    Route("/p/{token}/erase{tail:path}", erase, methods=["POST"]),
]
