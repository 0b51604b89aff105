"""Pictures of translations: each version carries its own, and the archive shows the files without a tag."""

from __future__ import annotations

import threading
from collections.abc import Callable

from mailshot.bootstrap import App
from mailshot.deliver import pipeline
from mailshot.render import compose
from mailshot.store import dialect, tables
from tests.deliver.test_enclosures import BODY, HERO, MAP, PDF, mails, png, write
from tests.support.processes import Sink
from tests.support.project import NOW, Shop


def test_each_version_carries_its_own_pictures(shop: Shop, sink: Sink, app: Callable[..., App]) -> None:
    body = BODY.replace("hero%20one.png", "nb.png").replace('lang="en"', 'lang="nb"')
    write(
        shop.folder,
        {
            "hello/body.html": BODY,
            "hello/body.nb.html": body,
            "hello/subject.nb.txt": "Hei",
            "hello/settings.yaml": "attachments: [Vilkår.pdf]\n",
            "hello/Vilkår.pdf": PDF,
            "hello/pictures/hero one.png": HERO,
            "hello/pictures/nb.png": png(7),
            "_base/map.png": MAP,
        },
    )
    customer = dialect.table(tables.Customer)
    with shop.store.write() as connection:
        connection.execute(customer.update().where(customer.c.key == "c1").values(language="no"))
    edition = shop.campaign()
    mailing = edition.mailing()
    subject, page = compose.public_copy(mailing, "hello", (), NOW)
    assert (subject, 'lang="en"' in page) == ("Hello", True)
    assert mailing.enclosed_bytes()
    run_id = shop.launch(edition)
    assert not pipeline.send_batch(app().send_settings, run_id, 100, threading.Event())
    sent = mails(sink)

    def files(key: str) -> list[bytes]:
        parts = [
            part
            for part in sent[f"{key}@mail.example"].walk()
            if part.get_content_maintype() in ("image", "application")
        ]
        return [part.get_payload(decode=True) for part in parts]  # type: ignore[misc]

    assert files("c1") == [png(7), PDF]
    assert files("c2") == [HERO, PDF]
