"""Workers and a clock on a queue in process and on Redis, which may be killed, flushed, restarted or never there."""

from __future__ import annotations

import threading

import pytest

from mailshot import tasks
from mailshot.bootstrap import App
from tests import processes, project
from tests.flow.test_delivery import Apps, assert_all_once, finished
from tests.processes import Sink
from tests.project import Shop


class Workers:
    """Workers and a clock of this process, each in a thread."""

    def __init__(self, *apps: App) -> None:
        self.stop = threading.Event()
        self._threads = [threading.Thread(target=tasks.work_until, args=(app, 2, self.stop)) for app in apps]
        self._threads.append(threading.Thread(target=tasks.tick_until, args=(apps[0], self.stop)))

    def __enter__(self) -> Workers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads)


def test_workers_in_process_find_a_run_by_themselves(shop: Shop, sink: Sink, app: Apps) -> None:
    one = app(batch=7, lease=2)
    with Workers(one):
        run_id = shop.launch()
        for _ in range(10):
            one.doorbell.ring(run_id)
        processes.until(lambda: finished(shop, run_id), 60, "the run is finished")
    assert_all_once(shop, sink, run_id, 60)


@pytest.mark.parametrize("trouble", ["none", "killed", "flushed", "restarted", "absent"])
def test_redis_may_do_what_it_likes(shop: Shop, sink: Sink, app: Apps, trouble: str) -> None:
    shop.add(project.people(240, first=1000))
    with processes.own_redis() as redis:
        if trouble == "absent":
            redis.kill()
        both = [app(redis=redis.url, batch=20, lease=2) for _ in range(2)]
        with Workers(*both):
            run_id = shop.launch(shop.campaign(more="limits: {rate: 6000}\n"))
            for _ in range(10):
                both[0].doorbell.ring(run_id)
            processes.until(lambda: len(sink.entries()) > 30, 60, "some are sent")
            if trouble == "flushed":
                redis.flush()
            if trouble in ("killed", "restarted"):
                redis.kill()
            if trouble == "restarted":
                redis.begin()
            processes.until(lambda: finished(shop, run_id), 90, "the run is finished")
    assert_all_once(shop, sink, run_id, 300)
