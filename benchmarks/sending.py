"""Measures sending against Postfix's smtp-source and other clients, all to the same smtp-sink.

    python -m benchmarks.sending [--rounds 5] [--mails 20000] [--only transport|pipeline|latency]

transport: our SMTP connection sends one fixed mail of 8 KB over 20 connections, without ledger and rendering. The
rivals send the same: `smtp-source -d`, a generator in C that renders nothing, and aiosmtplib's own `sendmail`.
pipeline: `mailshot worker` sends a launched campaign of personalised mails of 6 KB in HTML and text, each with its
intent and outcome in the ledger: on PostgreSQL by two processes and on SQLite by one, over 20 and over 60 connections.
Prints the CPU time of the workers for each mail.
latency: the transport again, to a server whose every answer takes 20 ms.

Rates are mails a second; each ratio compares medians of rounds in which all took turns. smtp-sink and smtp-source are
of Debian's package postfix, and need no configuration.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

import aiosmtplib
from sqlalchemy import func, select, text

from benchmarks.load import mailed_shop, news_campaign, smtp_sink
from benchmarks.load.local_servers import HOST, free_port, served, wait_for
from mailshot.deliver.smtp import Connection, MailObject, Server
from mailshot.store import dialect, tables
from mailshot.store.engine import Store
from tests.support import processes, servers

CONNECTIONS, MORE_CONNECTIONS = 20, 60
#: The sizes of a fixed mail: for the transport, and of the rendered mail of the pipeline.
MAIL_BYTES, NEWS_BYTES = 8_000, 12_000
#: Seconds from a command to its answer, for `latency`.
ROUND_TRIP = 0.02
MAILSHOT = Path(sys.executable).with_name("mailshot")
POSTFIX = "/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", "")
MIN_TRANSPORT, MIN_POSTGRES, MIN_SQLITE, MIN_LATENCY, MAX_CPU_MS = 1.2, 0.45, 0.4, 4.0, 0.40
RUN_SECONDS = 900
RUNNING = "SELECT count(*) FROM run WHERE state = 'running'"
FIRST_MAIL = "SELECT 1 FROM delivery WHERE run_id = (SELECT max(id) FROM run) AND state = 'sent' LIMIT 1"

Rates = dict[str, list[float]]


def main() -> int:
    """Measure and return 0 when every budget is kept."""
    options = arguments()
    kept = True
    if options.only in (None, "transport"):
        with smtp_sink_of_postfix() as port:
            kept &= transport(port, options.mails, options.rounds, "transport", MIN_TRANSPORT)
    if options.only in (None, "latency"):
        accepted = multiprocessing.get_context("spawn").Value("q", 0)
        with served(smtp_sink.serve, accepted, ROUND_TRIP) as port:
            kept &= transport(port, max(options.mails // 10, 400), options.rounds, "at 20 ms", MIN_LATENCY)
    if options.only in (None, "pipeline"):
        with servers.postgres() as server, tempfile.TemporaryDirectory() as made:
            for kind, least in (("sqlite", MIN_SQLITE), ("postgres", MIN_POSTGRES)):
                kept &= pipeline(kind, server, Path(made), options, least)
    return 0 if kept else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mails", type=int, default=20_000, help="in one round")
    parser.add_argument("--only", choices=["transport", "pipeline", "latency"])
    parser.add_argument("--store", choices=["sqlite", "postgres"])
    return parser.parse_args()


def transport(port: int, mails: int, rounds: int, name: str, least: float) -> bool:
    """Let all clients send in turn and print the line; return whether the budget is kept."""
    clients: dict[str, Callable[[], None]] = {
        "ours": lambda: asyncio.run(send_fixed(port, mails)),
        "smtp-source": lambda: smtp_source(port, mails, MAIL_BYTES),
        "aiosmtplib": lambda: asyncio.run(send_by_aiosmtplib(port, mails)),
    }
    rates: Rates = {client: [] for client in clients}
    for _ in range(rounds):
        for client, send in clients.items():
            rates[client].append(mails / timed(send))
    medians = {client: statistics.median(taken) for client, taken in rates.items()}
    ratio = medians["ours"] / medians["smtp-source"]
    told = ", ".join(f"{client} {rate:,.0f}/s" for client, rate in medians.items())
    by_aiosmtplib = medians["ours"] / medians["aiosmtplib"]
    print(f"{name}: {told}; ratio {ratio:.2f} (at least {least}), to aiosmtplib {by_aiosmtplib:.2f}", flush=True)
    return ratio >= least


async def send_fixed(port: int, mails: int) -> None:
    """Send a fixed mail over our connections, each dot released at once."""
    mail = MailObject("bench@example.com", "c@example.net", b"Subject: x\r\n\r\n" + line_of(MAIL_BYTES))
    left = iter(range(mails))
    server = Server.parse(f"smtp://{HOST}:{port}", "auto")

    async def send_some() -> None:
        connection = await Connection.open(server)
        following = next(left, None)
        while following is not None:
            body = await connection.send_body(mail)
            following = next(left, None)
            outcome = body or await connection.send_dot(mail if following is not None else None)
            assert outcome.reply.startswith("250"), outcome
        await connection.quit()

    await asyncio.gather(*(send_some() for _ in range(CONNECTIONS)))


async def send_by_aiosmtplib(port: int, mails: int) -> None:
    data, left = b"Subject: x\r\n\r\n" + line_of(MAIL_BYTES), iter(range(mails))

    async def send_some() -> None:
        async with aiosmtplib.SMTP(hostname=HOST, port=port) as client:
            for _ in left:
                await client.sendmail("bench@example.com", ["c@example.net"], data)

    await asyncio.gather(*(send_some() for _ in range(CONNECTIONS)))


def smtp_source(port: int, mails: int, size: int) -> None:
    program = shutil.which("smtp-source", path=POSTFIX)
    assert program, "smtp-source is not installed (Debian: postfix)"
    options = ["-d", "-s", str(CONNECTIONS), "-m", str(mails), "-l", str(size)]
    subprocess.run([program, *options, f"{HOST}:{port}"], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def smtp_sink_of_postfix() -> Iterator[int]:
    """Run smtp-sink and give its port."""
    program, port = shutil.which("smtp-sink", path=POSTFIX), free_port()
    assert program, "smtp-sink is not installed (Debian: postfix)"
    options = ["-u", "nobody"] if os.getuid() == 0 else []
    process = subprocess.Popen([program, *options, "-8", f"{HOST}:{port}", "1000"], stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait()


def pipeline(kind: str, server: str, made: Path, options: argparse.Namespace, least: float) -> bool:
    """Send campaigns by workers and a fixed mail by smtp-source in turn; return whether the budgets are kept."""
    if options.store not in (None, kind):
        return True
    folder, workers = made / kind, 1 if kind == "sqlite" else 2
    news_campaign.write(folder)
    opened = nullcontext(f"sqlite:///{folder}/mailshot.db") if kind == "sqlite" else servers.database(server)
    names = {CONNECTIONS: "ours", MORE_CONNECTIONS: "ours with 60 connections"}
    rates: Rates = {name: [] for name in (*names.values(), "smtp-source")}
    spent = []
    redis = nullcontext("") if kind == "sqlite" else processes.redis()
    with opened as url, redis as queue, smtp_sink_of_postfix() as port:
        mailed_shop.fill(url, options.mails)
        environment = {"MAILSHOT_DATABASE": url, "MAILSHOT_SMTP": f"smtp://{HOST}:{port}", "MAILSHOT_REDIS": queue}
        for _ in range(options.rounds):
            for connections, name in names.items():
                rate, seconds = send_campaign(folder, url, environment, workers, connections)
                rates[name].append(rate)
                spent.append(seconds / options.mails * 1000)
            rates["smtp-source"].append(options.mails / timed(lambda: smtp_source(port, options.mails, NEWS_BYTES)))
    medians = {name: statistics.median(taken) for name, taken in rates.items()}
    ratio, cpu = medians["ours"] / medians["smtp-source"], statistics.median(spent)
    told = ", ".join(f"{name} {rate:,.0f}/s" for name, rate in medians.items())
    print(f"{kind}, {workers} processes: {told}; ratio {ratio:.2f} (at least {least}), "
          f"{cpu:.2f} ms of CPU a mail (at most {MAX_CPU_MS})", flush=True)  # fmt: skip
    return ratio >= least and cpu <= MAX_CPU_MS


def send_campaign(
    folder: Path, url: str, environment: Mapping[str, str], workers: int, connections: int
) -> tuple[float, float]:
    """Launch the campaign, send it, and return mails a second and the CPU seconds of the workers.

    Both count from the first mail on, without the start of the processes.
    """
    variables = {**os.environ, **environment, "MAILSHOT_CONNECTIONS": str(connections)}
    variables["PYTHONPATH"] = str(processes.ROOT)
    news_campaign.launch(MAILSHOT, folder, variables)
    command = [sys.executable, "-m", "mailshot", "worker", "--processes", "1"]
    started = [subprocess.Popen(command, cwd=folder, env=variables) for _ in range(workers)]
    store = Store.open(url)
    try:
        wait_until(store, FIRST_MAIL, wanted=True)
        before = sum(cpu_seconds(process.pid) for process in started)
        wait_until(store, RUNNING, wanted=False)
        spent = sum(cpu_seconds(process.pid) for process in started) - before
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()
    rate = rate_of_last_run(store)
    store.close()
    return rate, spent


def wait_until(store: Store, question: str, wanted: bool) -> None:
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        with store.read() as connection:
            if bool(connection.scalar(text(question))) is wanted:
                return
        time.sleep(0.1)
    raise TimeoutError("the campaign was not sent in time")


def cpu_seconds(pid: int) -> float:
    """Return what a process has used so far, in user mode and in the kernel (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rate_of_last_run(store: Store) -> float:
    delivery = dialect.table(tables.Delivery).c
    last_run = select(func.max(delivery.run_id)).scalar_subquery()
    with store.read() as connection:
        rows = connection.execute(
            select(delivery.state, delivery.dotted_at, delivery.settled_at).where(delivery.run_id == last_run)
        ).all()
    assert {row[0] for row in rows} == {"sent"}, {row[0] for row in rows}
    return len(rows) / (max(row[2] for row in rows) - min(row[1] for row in rows)).total_seconds()


def line_of(size: int) -> bytes:
    return (b"x" * 78 + b"\r\n") * (size // 80)


def timed(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
