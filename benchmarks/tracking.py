"""Measures the tracking of opens and clicks: alone, and beside a campaign that is being sent.

    python -m benchmarks.tracking [--rounds 5] [--seconds 20] [--only sqlite]

Alone: our site and a rival answer the same paths over the same connections in turn, each in a process of its own. Four
opens come to a click, each of another customer, so that every request is a new event. The rival is one Starlette route
under uvicorn that returns the pixel and stores nothing. Prints requests a second, the slowest of 100 (p99), and the
ratio of the medians.

Beside a campaign: `mailshot up` on SQLite sends a campaign to a server that takes everything, with and without 500
events a second in turn, `--seconds` each. Prints the p99 of the events, counted from when each was due, and how fast
mails were sent as a share of their rate without events.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from benchmarks import launches
from benchmarks.load import http_client, mailed_shop, smtp_sink
from benchmarks.load.local_servers import HOST, free_port, served, wait_for
from mailshot.settings import load_settings
from mailshot.store.engine import Store
from mailshot.tokens import KeyRing
from tests.support import servers

CONNECTIONS = 50
#: The least share of the bare endpoint's rate.
MIN_BY_BARE = 0.35
#: Requests in one round.
REQUESTS = 10_000
KEYS = "1:000102030405060708090a0b0c0d0e0f"
#: Events a second beside a campaign, the slowest p99 in seconds, and the least share of the rate without events.
EVENTS, MAX_P99, MIN_SENDING = 500, 0.05, 0.7
#: Mails a second of a machine that is faster than any we know, so that the campaign lasts.
MAX_MAILS = 2_500
MAILSHOT = Path(sys.executable).with_name("mailshot")


def main() -> int:
    """Measure and return 0 when every budget is kept."""
    options = arguments()
    kept = True
    with tempfile.TemporaryDirectory() as made, servers.postgres() as server, servers.database(server) as database:
        for kind, url in (("sqlite", f"sqlite:///{made}/shop.db"), ("postgres", database)):
            if options.only in (None, kind):
                kept &= alone(kind, url, options.rounds)
        if options.only in (None, "sqlite"):
            kept &= beside_campaign(Path(made) / "shop", options.rounds, options.seconds)
    return 0 if kept else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20, help="of one round beside a campaign")
    parser.add_argument("--only", choices=["sqlite", "postgres"])
    return parser.parse_args()


def alone(kind: str, url: str, rounds: int) -> bool:
    """Load both servers in turn and print the line; return whether the budget is kept."""
    customers = rounds * REQUESTS
    mailed_shop.fill(url, customers)
    paths = mailed_shop.paths(KeyRing.parse(KEYS), customers)
    loads: dict[str, list[http_client.Measurement]] = {"bare": [], "ours": []}
    with served(serve_bare) as bare, served(serve_site, url) as ours:
        for _ in range(rounds):
            some = list(islice(paths, REQUESTS))
            for name, port in (("bare", bare), ("ours", ours)):
                loads[name].append(asyncio.run(http_client.fetch_all(HOST, port, some, CONNECTIONS)))
    check_answers(load for both in loads.values() for load in both)
    rates = {name: statistics.median(load.rate for load in both) for name, both in loads.items()}
    p99 = {name: statistics.median(load.percentile(0.99) for load in both) for name, both in loads.items()}
    ratio = rates["ours"] / rates["bare"]
    rate_texts = [f"{name} {rates[name]:,.0f} a second (p99 {p99[name] * 1000:.0f} ms)" for name in ("ours", "bare")]
    print(f"{kind}, alone: {', '.join(rate_texts)}, ratio {ratio:.2f} (at least {MIN_BY_BARE})", flush=True)
    return ratio >= MIN_BY_BARE


def beside_campaign(folder: Path, rounds: int, seconds: float) -> bool:
    """Send a campaign with and without events in turn and print the line; return whether the budgets are kept."""
    customers = int(MAX_MAILS * seconds * 2 * rounds)
    launches.write_campaign(folder)
    mailed_shop.fill(f"sqlite:///{folder}/mailshot.db", customers)
    paths = mailed_shop.paths(KeyRing.parse(load_settings(folder).keys.get_secret_value()), customers)
    accepted = multiprocessing.get_context("spawn").Value("q", 0)
    quiet, busy, loads = [], [], []
    with served(smtp_sink.serve, accepted) as smtp_port, up(folder, smtp_port) as port:
        for _ in range(rounds):
            quiet.append(mails_a_second(accepted, lambda: time.sleep(seconds)))
            fetch = http_client.fetch_at_rate(HOST, port, paths, CONNECTIONS, EVENTS, seconds)
            busy.append(mails_a_second(accepted, lambda: loads.append(asyncio.run(fetch))))  # noqa: B023
    check_answers(loads)
    p99 = statistics.median(load.percentile(0.99) for load in loads)
    alone, beside = statistics.median(quiet), statistics.median(busy)
    print(
        f"beside a campaign: {EVENTS} events a second, p99 {p99 * 1000:.0f} ms (at most {MAX_P99 * 1000:.0f}); "
        f"{beside:.0f} mails a second, {alone:.0f} without events, ratio {beside / alone:.2f} (at least {MIN_SENDING})",
        flush=True,
    )
    return p99 <= MAX_P99 and beside / alone >= MIN_SENDING


def check_answers(loads: Iterator[http_client.Measurement] | list[http_client.Measurement]) -> None:
    """Raise AssertionError if anything but a pixel or a redirect was returned."""
    for load in loads:
        assert not load.statuses.keys() - {"200", "302"}, load.statuses


def mails_a_second(accepted: Synchronized[int], wait: Callable[[], None]) -> float:
    """Return how many mails a second were accepted during `wait`."""
    before, begun = accepted.value, time.perf_counter()
    wait()
    return (accepted.value - before) / (time.perf_counter() - begun)


@contextmanager
def up(folder: Path, smtp_port: int) -> Iterator[int]:
    """Launch the campaign, run `mailshot up` and give the port of its site, once it has begun to send."""
    port = free_port()
    settings = {"MAILSHOT_WEB_PORT": str(port), "MAILSHOT_SMTP": f"smtp://{HOST}:{smtp_port}"}
    environment = {**os.environ, **settings}
    for command in ("plan", "launch"):
        subprocess.run([MAILSHOT, command, "hello"], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    process = subprocess.Popen([MAILSHOT, "up"], cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_for(port)
        time.sleep(5)
        yield port
    finally:
        process.terminate()
        process.wait()


def serve_bare(port: int) -> None:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from mailshot.web.tracking import PIXEL

    async def pixel(request: Request) -> Response:
        return Response(PIXEL, media_type="image/gif")

    app = Starlette(routes=[Route("/{path:path}", pixel)])
    uvicorn.run(app, host=HOST, port=port, access_log=False, log_level="warning")


def serve_site(port: int, url: str) -> None:
    """Serve the customer site as `mailshot web` does, without its limit of requests from one address."""
    from mailshot.cli import processes
    from mailshot.profile.preferences import Statements
    from mailshot.profile.topics import Topics
    from mailshot.web import app, server
    from mailshot.web.rate_limits import RequestLimits
    from mailshot.web.site import SiteSettings

    limits = RequestLimits(mails="100000000/minute")
    settings = SiteSettings("Shop", Topics({}), Statements({}), b"address-key-of-the-shop", limits=limits)
    site = app.create_app(Store.open(url), KeyRing.parse(KEYS), settings)
    processes.freeze_startup_objects()
    server.serve_app(site, HOST, port)


if __name__ == "__main__":
    sys.exit(main())
