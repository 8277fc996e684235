"""A worker with ``--accounts``: what concerns accounts runs while the market holds every slot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import pytest
from django.conf import settings

from focsal.celery import app
from focsal.settings.environment import BASE_DIR
from tests.core import worker_tasks
from tests.core.worker_tasks import patient

_PATIENCE_S = 40
_SLOTS = 2


@dataclass(frozen=True)
class Names:
    """Lists in Redis through which the tasks speak with the test."""

    started: str
    end: str
    told: str


@pytest.fixture
def names() -> Iterator[Names]:
    client = patient()
    found = Names(*(f"focsal:test:worker:{uuid.uuid4().hex}:{one}" for one in ("s", "e", "t")))
    yield found
    # Whoever waits yet is let go.
    client.rpush(found.end, *range(10))
    client.expire(found.end, 60)
    client.delete(found.started, found.told)


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    with app.connection_for_write() as connection:
        for queue in settings.CELERY_TASK_QUEUES:
            queue(connection.default_channel).purge()
    command = [sys.executable, "-m", "celery", "-A", "focsal", "worker", "--accounts", "2"]
    command += ["--concurrency", str(_SLOTS), "--without-gossip", "--without-mingle"]
    command += ["--include", worker_tasks.__name__, "-l", "warning"]
    process = subprocess.Popen(command, cwd=BASE_DIR)
    yield process
    for one in _family(process):
        one.kill()
    process.wait(_PATIENCE_S)


def _family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        first = psutil.Process(process.pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _told(name: str) -> int:
    """The process that pushed next."""
    client = patient()
    answer = client.blpop([name], timeout=_PATIENCE_S)
    assert answer is not None
    return int(answer[1])


def _occupy(names: Names) -> set[int]:
    """Both slots of the market, and as much again waiting behind them."""
    for _ in range(2 * _SLOTS):
        worker_tasks.wait.delay(names.started, names.end)
    return {_told(names.started) for _ in range(_SLOTS)}


def test_account_work_waits_for_no_refresh(worker: subprocess.Popen[bytes], names: Names) -> None:
    busy = _occupy(names)
    worker_tasks.tell.delay(names.told)
    second = _told(names.told)
    client = patient()
    assert len(busy) == _SLOTS
    assert second not in {worker.pid, *busy}
    # None of the market's has moved meanwhile.
    assert client.llen(names.started) == 0
    client.rpush(names.end, *range(2 * _SLOTS))
    assert {_told(names.started) for _ in range(_SLOTS)} <= busy
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(_PATIENCE_S) == 0
    assert not psutil.pid_exists(second)


def test_when_the_second_dies_the_first_ends_so_that_both_start_again(
    worker: subprocess.Popen[bytes], names: Names
) -> None:
    worker_tasks.tell.delay(names.told)
    os.kill(_told(names.told), signal.SIGKILL)
    assert worker.wait(_PATIENCE_S) == os.EX_SOFTWARE


def test_when_the_first_is_killed_the_second_ends(
    worker: subprocess.Popen[bytes], names: Names
) -> None:
    worker_tasks.tell.delay(names.told)
    second = psutil.Process(_told(names.told))
    worker.kill()
    second.wait(_PATIENCE_S)


def test_a_worker_without_the_option_takes_from_both_queues() -> None:
    assert list(app.amqp.queues.consume_from) == [
        settings.CELERY_TASK_DEFAULT_QUEUE,
        settings.CELERY_ACCOUNTS_QUEUE,
    ]


def test_where_tasks_go() -> None:
    def queue(task: str) -> str:
        route = app.amqp.router.route({}, task)
        return str(route["queue"].name if "queue" in route else app.conf.task_default_queue)

    app.loader.import_default_modules()
    ours = [name for name in app.tasks if not name.startswith("celery.")]
    assert len(ours) > 10
    for name in ours:
        is_market = name.partition(".")[0] in ("snapshots", "marketdata")
        assert queue(name) == (
            settings.CELERY_TASK_DEFAULT_QUEUE if is_market else settings.CELERY_ACCOUNTS_QUEUE
        ), name
