"""The company's logo travels once with each mail that shows it, as it was at the launch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from mailshot.bootstrap import App
from mailshot.deliver import pipeline
from tests.deliver.test_enclosures import HERO, MAP, mails, tree, write
from tests.support import project
from tests.support.processes import Sink
from tests.support.project import Shop

SHIPPED = Path(__file__).parents[2] / "templates" / "_base"
BODY = '{% extends "_base/layout.html" %}{% block body %}<tr><td><p>Hello</p></td></tr>{% endblock %}\n'


def test_each_mail_carries_the_logo_of_the_launch(shop: Shop, sink: Sink, app: Callable[..., App]) -> None:
    write(shop.folder, {f"_base/{path.name}": path.read_bytes() for path in SHIPPED.iterdir()})
    write(shop.folder, {"hello/body.html": BODY, "_base/logo.png": HERO})
    company = shop.folder / "rules/company.yaml"
    company.write_text(project.FILES["rules/company.yaml"] + "logo: _base/logo.png\n", encoding="utf-8")
    run_id = shop.launch()
    company.write_text(project.FILES["rules/company.yaml"], encoding="utf-8")
    write(shop.folder, {"_base/logo.png": MAP})
    pipeline.send_batch(app().send_settings, run_id, 3, threading.Event())
    received = list(mails(sink).values())
    assert len(received) == 3
    for mail in received:
        assert tree(mail) == ("multipart/alternative", "text/plain", ("multipart/related", "text/html", "image/png"))
        html, picture = (part for part in mail.walk() if part.get_content_type() in ("text/html", "image/png"))
        assert picture.get_content() == HERO
        assert f'src="cid:{picture["Content-ID"].strip("<>")}" alt="Bay Shop"' in html.get_content()
        text = next(part for part in mail.walk() if part.get_content_type() == "text/plain").get_content()
        assert (text.splitlines()[0], "cid:" in text) == ("Bay Shop", False)
