"""Networks that are slow, thin, cut data into small pieces and reset connections."""

from __future__ import annotations

import time

from tests.torture.cell import Cell
from tests.torture.setup import Setup
from tests.torture.trial import Trial

LATENCY_SECONDS = 0.05
BYTES_PER_SECOND = 200_000
SLICE_BYTES = 7
LASTS_SECONDS = 1.0


def disturb_network(trial: Trial) -> None:
    """Disturb one connection after the other, each in all ways."""
    names = sorted(trial.proxies)
    for index in trial.moments():
        name = names[index % len(names)]
        proxy = trial.proxies[name]
        verb = ("reset", "latency", "slice", "bandwidth")[index // len(names) % 4]
        if verb == "reset":
            # Only a reset of SMTP loses replies for good: the database is asked again.
            trial.in_doubt += trial.open_connections() if name == "smtp" else 0
            proxy.reset_all()
        proxy.latency = LATENCY_SECONDS if verb == "latency" else 0.0
        proxy.slice = SLICE_BYTES if verb == "slice" else 0
        proxy.bandwidth = BYTES_PER_SECOND if verb == "bandwidth" else 0
        time.sleep(LASTS_SECONDS)
        proxy.latency, proxy.slice, proxy.bandwidth = 0.0, 0, 0
        trial.faults[f"{verb} on {name}"] += 1
    trial.pass_retries()


CELLS = (
    Cell(
        "F13",
        "latency, small pieces, low bandwidth and resets on SMTP, Redis and PostgreSQL",
        disturb_network,
        Setup(proxies=("smtp", "redis", "database"), lease=15.0, shifted=True),
    ),
)
