"""`signup`: the HTML of a form by which visitors of the shop's own pages sign up."""

from __future__ import annotations

from html import escape
from typing import Annotated

import typer

from mailshot.cli import context
from mailshot.customer_texts import language
from mailshot.customer_texts.language import LANGUAGES, CustomerLanguage
from mailshot.errors import NotFound
from mailshot.profile.topics import Topic

FORM = """\
<form method="post" action="{url}" accept-charset="utf-8">
  <input type="hidden" name="lang" value="{lang}">
  <input type="hidden" name="form" value="{name}">
  <p><label>{address}<br><input name="email" type="email" autocomplete="email" required maxlength="254"></label></p>
{topics}
  <p hidden aria-hidden="true"><label>{trap} <input name="website" tabindex="-1" autocomplete="off"></label></p>
  <p><button>{button}</button></p>
</form>"""
ONE_TOPIC = '  <input type="hidden" name="topic" value="{name}">'
TOPIC = '  <p><label><input type="checkbox" name="topic" value="{name}"> {title}</label></p>'


def form(
    lang: Annotated[str, typer.Option(help="Language of the form: en, de, fr or es.")] = "en",
    name: Annotated[str, typer.Option(help="Your name for the form, which the proof of consent repeats.")] = "shop",
) -> None:
    """Print an HTML form for your own pages. It offers the topics with `public: true`."""
    if lang not in LANGUAGES:
        raise NotFound(f"There are no texts in '{lang}'.", f"Known: {', '.join(LANGUAGES)}.")
    app = context.app()
    topics = [topic for topic in context.rulebook(app.settings.project).topics if topic.public]
    if not topics:
        raise NotFound("No topic is public.", "Add 'public: true' to a topic in rules/topics.yaml.")
    chosen = language.choose(lang, None)
    text = FORM.format(
        url=escape(f"{app.settings.base_url}/signup"),
        lang=lang,
        name=escape(name),
        address=escape(chosen.gettext("Your e-mail address")),
        topics=_topics(topics, chosen),
        trap=escape(chosen.gettext("Leave this field empty")),
        button=escape(chosen.gettext("Send me the link")),
    )
    typer.echo(text)


def _topics(topics: list[Topic], chosen: CustomerLanguage) -> str:
    if len(topics) == 1:
        return ONE_TOPIC.format(name=topics[0].name)
    return "\n".join(TOPIC.format(name=topic.name, title=escape(chosen.shop_text(topic.title))) for topic in topics)
