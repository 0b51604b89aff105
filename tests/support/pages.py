"""What a browser does with a page: its form, as it would be sent, and the data page of a customer."""

from __future__ import annotations

import html
import re

from starlette.testclient import TestClient

from tests.support import customer_site

Form = dict[str, list[str]]


def form(page: str) -> Form:
    """Return what a browser would send for the first form of the page's main part as it stands."""
    first = page.partition("<main")[2].partition("<form")[2].partition("</form>")[0] or page
    fields: Form = {}
    for tag in re.findall(r"<input\b[^>]*>", first):
        attributes = {name: html.unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
        if attributes["type"] in ("hidden", "text", "date") or re.search(r"\schecked\b", tag):
            fields.setdefault(attributes["name"], []).append(attributes["value"])
    for name, options in re.findall(r'<select\b[^>]* name="([^"]*)"[^>]*>(.*?)</select>', first, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected>', options)
        fields[html.unescape(name)] = [html.unescape(chosen[1]) if chosen else ""]
    return fields


class OwnPage:
    """The page of a customer's own data, opened by a link of its own."""

    def __init__(
        self, client: TestClient, look: customer_site.Look, customer_id: int = customer_site.ADA, email: str = ""
    ) -> None:
        with look.store.write() as connection:
            self.path = customer_site.own_data(connection, customer_id, email or "ada@example.com")
        self._client = client
        self.answer = client.post(self.path)
        assert self.answer.status_code == 200, self.answer.text

    @property
    def text(self) -> str:
        return self.answer.text

    @property
    def form(self) -> Form:
        return form(self.text)

    def post(self, action: str, more: Form | dict[str, str] | None = None, whole: bool = False):  # type: ignore[no-untyped-def]
        """Post one of the page's forms; `whole` sends the preferences as they stand, too."""
        fields = self.form if whole else {"session": self.form["session"]}
        answer = self._client.post(f"{self.path}/{action}", data={**fields, **(more or {})})
        if action == "save":
            self.answer = answer
        return answer
