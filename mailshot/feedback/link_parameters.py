"""Adds a run's UTM parameters to the address that a click is redirected to.

They are not part of the stored link: a link is stored once for all runs. They come from the settings frozen with the
run, so a later change of the rules does not reach mails that were sent.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_plus, urlsplit

from mailshot.profile import utm
from mailshot.render.links import ascii_host
from mailshot.store import snapshots
from mailshot.store.engine import Connection

#: Runs whose parameters a process keeps, the latest used ones: about 4 KB for one with three contents.
MOST_RUNS = 1000
#: The name and the encoded value of a query parameter.
Parameter = tuple[str, str]


@dataclass(frozen=True, slots=True)
class LinkParameters:
    """The parameters of one run."""

    #: The shop's own hosts, in ASCII and lower case.
    hosts: Collection[str] = frozenset()
    #: The parameters by the name of the mail's content.
    by_content: Mapping[str, tuple[Parameter, ...]] = field(default_factory=dict)

    @classmethod
    def from_frozen(cls, texts: Mapping[str, Mapping[str, str]], hosts: Iterable[str]) -> LinkParameters:
        """Return the parameters from a frozen mailing: texts by key, by content, and its `link_hosts`."""
        by_content = {
            content: tuple((f"utm_{key}", _encoded(named[key])) for key in utm.KEYS if key in named)
            for content, named in texts.items()
        }
        return cls(frozenset(_lower_host(host) for host in hosts), by_content)

    def add_to(self, url: str, content: str) -> str:
        """Return an http(s) URL with the parameters of a content, unless its host is another's."""
        parameters = self.by_content.get(content, ())
        return add(url, parameters) if parameters and urlsplit(url).hostname in self.hosts else url


class RunParameters:
    """The parameters of launched runs, each read once: what is frozen with a run never changes. For one thread."""

    def __init__(self, most: int = MOST_RUNS) -> None:
        self._most = most
        self._by_run: OrderedDict[int, LinkParameters] = OrderedDict()

    def of(self, connection: Connection, run_id: int) -> LinkParameters:
        """Return the parameters of a run."""
        parameters = self._by_run.get(run_id)
        if parameters is None:
            parameters = self._by_run[run_id] = _read(connection, run_id)
            if len(self._by_run) > self._most:
                self._by_run.popitem(last=False)
        self._by_run.move_to_end(run_id)
        return parameters


def add(url: str, parameters: Iterable[Parameter]) -> str:
    """Return a URL with parameters after those of its query; one whose name is there already is left out."""
    address, mark, fragment = url.partition("#")
    path, _, query = address.partition("?")
    # Names are compared as servers read them: decoded, and in their case.
    present = {unquote_plus(pair.partition("=")[0]) for pair in query.split("&")}
    added = "&".join(f"{name}={value}" for name, value in parameters if name not in present)
    if not added:
        return url
    separator = "" if not query or query.endswith("&") else "&"
    return f"{path}?{query}{separator}{added}{mark}{fragment}"


def _read(connection: Connection, run_id: int) -> LinkParameters:
    texts, hosts = snapshots.of_run(connection, run_id, "utm", "link_hosts")
    return LinkParameters.from_frozen(texts, hosts or ()) if texts else LinkParameters()


def _encoded(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _lower_host(host: str) -> str:
    try:
        return ascii_host(host).lower()
    except ValueError:  # is no host, so no link has it
        return host.lower()
