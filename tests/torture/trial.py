"""One run under faults: its shop, mail server, queue and processes, what an attack may do to them, and what is counted.

Start at `Trial`. Mailshot is used as an operator uses it: `mailshot worker`, `clock` and `web` are processes, and a
worker that ends is started again.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

from mailshot import states
from mailshot.errors import MailshotError
from mailshot.profile.topics import TRACKING
from mailshot.store import dialect, tables
from mailshot.store.engine import Store
from tests.support import processes, servers
from tests.support.processes import Redis
from tests.support.project import NOW, Shop, person
from tests.torture import running_sink, small_disk, worker_processes
from tests.torture.checker import Acceptance, Row, Terms, Verdict, check
from tests.torture.databases import Databases
from tests.torture.proxy import Proxy
from tests.torture.running_sink import Sink
from tests.torture.setup import CONNECTIONS, DOMAIN, Setup, Size
from tests.torture.worker_processes import Process

POLL_SECONDS = 0.02
#: After which a worker that was asked to end is killed.
STOP_SECONDS = 60.0
#: The most that a command may take.
COMMAND_SECONDS = 120.0
ROWS = (
    "SELECT c.email, d.state, d.reason, d.attempts, d.reply, d.next_attempt_at, d.dotted_at FROM delivery d"
    " JOIN customer c ON c.id = d.customer_id WHERE d.run_id = {run}"
)


@dataclass
class Trial:
    """One run under faults."""

    size: Size
    store_kind: str
    at_least_once: bool
    random: random.Random
    folder: Path
    setup: Setup
    shop: Shop
    sink: Sink
    environment: dict[str, str]
    databases: Databases
    redis: Redis | None = None
    proxies: dict[str, Proxy] = field(default_factory=dict)
    run_id: int = 0
    workers: list[Process] = field(default_factory=list)
    beside: list[Process] = field(default_factory=list)
    #: What the attack did, by name.
    faults: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    #: Deliveries that may be in doubt (see `checker.Terms`).
    in_doubt: int = 0
    #: What the attack itself found wrong.
    problems: list[str] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)
    #: Monotonic.
    deadline: float = 0.0
    web_port: int = field(default_factory=processes.free_port)
    shift_file: Path | None = None
    shifted_by: float = 0.0
    disk: Path | None = None
    #: Whether workers that end are started again while the attack goes on.
    tended: bool = True

    @property
    def store(self) -> Store:
        return self.shop.store

    @property
    def customers(self) -> int:
        return len(self.shop.customers)

    def launch(self, name: str = "hello") -> int:
        """Plan and launch a campaign under the trial's policy."""
        return self.shop.launch(self.shop.campaign(name, self.campaign_yaml()))

    def write_campaign(self, more: str = "", name: str = "hello") -> None:
        """Write a campaign under the trial's policy without launching it; `more` is YAML."""
        self.shop.campaign(name, self.campaign_yaml() + more)

    def take_only_run(self) -> None:
        """Make the one run that there is the trial's; note a problem unless there is exactly one."""
        self.wait_until(lambda: bool(self.query("SELECT id FROM run")), 60, "a run was launched")
        runs = [int(row["id"]) for row in self.query("SELECT id FROM run ORDER BY id")]
        if len(runs) != 1:
            self.problems.append(f"{len(runs)} runs were launched instead of one")
        self.run_id = runs[0] if runs else 0

    def run_command(self, command: str) -> None:
        """Run `mailshot COMMAND` to its end; note a problem when it fails."""
        done = self.start(command)
        code = done.popen.wait(COMMAND_SECONDS)
        if code:
            self.problems.append(f"'mailshot {command}' ended with {code}")

    def campaign_yaml(self) -> str:
        return ("in_doubt: at_least_once\n" if self.at_least_once else "") + self.setup.campaign

    # Processes

    def start_worker(self, **variables: str) -> Process:
        started = self.start("worker", variables)
        self.workers.append(started)
        return started

    def start(self, command: str, variables: Mapping[str, str] | None = None) -> Process:
        """Start `mailshot COMMAND`."""
        environment = {**self.environment, **(variables or {})}
        log = self.folder / f"{command.split()[0]}.log"
        return worker_processes.start(tuple(command.split()), environment, log, self.shift_file)

    def kill(self, worker: Process) -> None:
        """Kill a worker with all it has open, and start another in its place."""
        # Stopped first, so that what is counted is what is open when it dies.
        worker.signal(signal.SIGSTOP)
        self.in_doubt += worker.open_connections(self.smtp_port)
        worker.kill()
        self.kills += 1
        self.faults["SIGKILL"] += 1
        self.workers.remove(worker)
        self.start_worker()

    @property
    def smtp_port(self) -> int:
        return self.proxies["smtp"].port if "smtp" in self.proxies else self.sink.port

    def busiest(self) -> Process:
        """Return the worker with the most connections to the mail server."""
        return max(self.workers, key=lambda worker: worker.open_connections(self.smtp_port))

    def open_connections(self) -> int:
        return sum(worker.open_connections(self.smtp_port) for worker in self.workers)

    def tend(self) -> None:
        """Start each worker again that has ended, as a process manager does."""
        for worker in [worker for worker in self.workers if not worker.running]:
            self.faults["worker ended by itself"] += 1
            self.workers.remove(worker)
            self.start_worker()

    # The clock of all processes

    def shift(self, seconds: float) -> None:
        """Set the clock of all processes forward by so much more; the setup must ask for it."""
        assert self.shift_file is not None
        self.shifted_by += seconds
        partial = self.shift_file.with_suffix(".new")
        partial.write_text(str(self.shifted_by))
        partial.rename(self.shift_file)

    def pass_retries(self) -> None:
        """Whenever nothing but deferred deliveries is left, set the clock to when they are tried again."""
        while not self.finished() and not self.out_of_time():
            self.tend()
            open_states = {state for state in self.states() if state in states.OPEN}
            if open_states == {"deferred"}:
                due = max(instant(row["next_attempt_at"]) for row in self.rows() if row["state"] == "deferred")
                self.shift(max(due - time.time() - self.shifted_by, 0.0) + 2.0)
                time.sleep(self.setup.lease)
            time.sleep(0.2)

    # What is seen from outside

    def arrived(self) -> int:
        return len(self.sink.acceptances())

    def query(self, sql: str) -> list[Any]:
        with self.store.read() as connection:
            return list(connection.exec_driver_sql(sql).mappings())

    def rows(self) -> list[Any]:
        """Return the run's deliveries with their addresses."""
        return self.query(ROWS.format(run=self.run_id))

    def states(self) -> Counter[str]:
        return Counter(str(row["state"]) for row in self.rows())

    def state_of(self, name: str) -> int:
        counted = self.query(f"SELECT count(*) AS n FROM delivery WHERE run_id = {self.run_id} AND state = '{name}'")
        return int(counted[0]["n"])

    def finished(self) -> bool:
        """Whether the run is finished; False while the database does not answer."""
        with suppress(MailshotError, DBAPIError):
            found = self.query(f"SELECT state FROM run WHERE id = {self.run_id}")
            return bool(found) and found[0]["state"] == "finished"
        return False

    # Time

    def moments(self, number: int | None = None, end: float = 0.9) -> Iterator[int]:
        """Give control `number` times, at random points of the run's progress; stop when the run is over."""
        number = number or self.size.faults
        for index in range(number):
            arrived = self.arrived()
            # Counted from now, because what was done last may have taken long.
            last = max(self.customers * end, arrived)
            goal = arrived + (last - arrived) / (number - index) * 2 * self.random.random()
            if not self.wait_for(int(min(goal, last))) or self.finished():
                return
            time.sleep(self.random.random() * 0.1)
            yield index

    def wait_for(self, arrivals: int) -> bool:
        """Wait until so many mails have arrived; False when the run is over, or time is up, before."""
        while self.arrived() < arrivals:
            if self.out_of_time() or self.finished():
                return False
            if self.tended:
                self.tend()
            time.sleep(POLL_SECONDS)
        return True

    def wait_until(self, true: Callable[[], bool], patience: float, what: str) -> bool:
        """Wait until something is true; else note a problem."""
        end = min(time.monotonic() + patience, self.deadline)
        while not true():
            if time.monotonic() > end:
                self.problems.append(f"after {patience:.0f} s still not: {what}")
                return False
            if self.tended:
                self.tend()
            time.sleep(POLL_SECONDS)
        return True

    def out_of_time(self) -> bool:
        return time.monotonic() > self.deadline

    def finish(self) -> None:
        """Wait until the run is finished, and end all processes softly."""
        while not self.finished():
            if self.out_of_time():
                self.problems.append(f"not finished in time: {dict(self.states())}")
                break
            self.tend()
            time.sleep(0.1)
        for process in [*self.workers, *self.beside]:
            code = process.terminate(STOP_SECONDS)
            if code not in (0, -signal.SIGTERM):  # one that is still starting knows no signals yet
                self.problems.append(f"'{' '.join(process.command)}' ended with {code} after SIGTERM")

    def judge(self) -> Verdict:
        """Compare the ledger with the sink."""
        endings = {
            row["email"]: ending for row in self.rows() if (ending := self.setup.ending(row["email"])) is not None
        }
        terms = Terms(self.at_least_once, self.in_doubt, endings, self.customers)
        rows = [Row(row["email"], row["state"], row["reason"]) for row in self.rows()]
        return check(
            rows, [Acceptance(item["rcpt"], item["id"], item["sha256"]) for item in self.sink.acceptances()], terms
        )


@contextmanager
def open_trial(
    setup: Setup, size: Size, store_kind: str, at_least_once: bool, seed: int, folder: Path, made: Databases
) -> Iterator[Trial]:
    """Make a shop with its customers, start what the setup asks for, launch the run, and end everything afterwards."""
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk.mounted(folder / "disk")) if setup.small_disk else None
        url = stack.enter_context(made.fresh(store_kind, disk or folder))
        store = Store.open(url)
        stack.callback(store.close)
        shop = _shop(store, folder, setup, size)
        sink = stack.enter_context(running_sink.start(folder, setup.behaviour))
        trial = Trial(size, store_kind, at_least_once, random.Random(seed), folder, setup, shop, sink, {}, made)
        trial.deadline, trial.disk = time.monotonic() + size.patience * setup.patience, disk
        _environment(stack, trial, url)
        if setup.shifted:
            trial.shift_file = folder / "shift"
            trial.shift_file.write_text("0")
        if setup.launched:
            trial.run_id = trial.launch()
        try:
            trial.beside = [trial.start(command) for command in setup.beside]
            usual = 1 if store.sqlite else 2
            for _ in range(usual if setup.workers is None else setup.workers):
                trial.start_worker()
            yield trial
        finally:
            for process in [*trial.workers, *trial.beside]:
                process.kill()


def _shop(store: Store, folder: Path, setup: Setup, size: Size) -> Shop:
    shop = Shop.open(store, folder / "shop", 0, dict(setup.files))
    names = [setup.local(n) for n in range(1, int(size.customers * setup.share) + 1)]
    addresses = [name if "@" in name else f"{name}@{DOMAIN}" for name in names]
    shop.add([person(f"c{n}", address) for n, address in enumerate(addresses, 1)])
    if setup.tracked:
        consents = [{"customer_id": n, "topic": TRACKING, "given": True, "at": NOW} for n in shop.customers]
        with store.write() as connection:
            connection.execute(dialect.table(tables.Consent).insert(), consents)
    return shop


def instant(value: Any) -> float:
    """Return a time of the ledger in seconds since 1970: SQLite keeps microseconds, PostgreSQL a timestamp."""
    return value / 1e6 if isinstance(value, int) else float(value.timestamp())


def _environment(stack: ExitStack, trial: Trial, url: str) -> None:
    """Set the variables of the trial's processes, with proxies in between where the setup asks for them."""
    setup, kind = trial.setup, trial.store_kind
    ports = {"smtp": trial.sink.port}
    if setup.redis if setup.redis is not None else kind == "postgres":
        trial.redis = stack.enter_context(processes.own_redis())
        ports["redis"] = trial.redis.port
    for name in setup.proxies:
        target: int | Path | None = ports.get(name)
        if name == "database" and kind == "postgres":
            target = trial.databases.postgres.socket
        if target is not None:
            trial.proxies[name] = Proxy(target)
            stack.callback(trial.proxies[name].close)
            ports[name] = trial.proxies[name].port
    trial.environment = trial.shop.environment(
        MAILSHOT_SMTP=f"smtp://127.0.0.1:{ports['smtp']}",
        MAILSHOT_CONNECTIONS=str(CONNECTIONS),
        MAILSHOT_LEASE=str(setup.lease),
        MAILSHOT_WEB_PORT=str(trial.web_port),
        **setup.variables,
    )
    if "redis" in ports:
        trial.environment["MAILSHOT_REDIS"] = f"redis://127.0.0.1:{ports['redis']}/0"
    if "database" in ports:
        name = servers.name_of(url)
        trial.environment["MAILSHOT_DATABASE"] = f"postgresql://postgres@127.0.0.1:{ports['database']}/{name}"
