"""A request id from the request that published a task to the task's log lines, over a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from celery import Celery
from celery.contrib.testing.worker import start_worker

from apps.core import task_context
from apps.core.ids import is_acceptable_request_id
from apps.core.task_context import HEADER


@pytest.fixture(autouse=True)
def _clean_context() -> Iterator[None]:
    structlog.contextvars.clear_contextvars()
    yield
    structlog.contextvars.clear_contextvars()


def test_the_publishers_id_is_stamped() -> None:
    headers: dict[str, Any] = {}
    with structlog.contextvars.bound_contextvars(request_id="req_of_request"):
        task_context.stamp_request_id(headers=headers)
    assert headers == {HEADER: "req_of_request"}


def test_what_beat_starts_gets_an_id_of_its_own() -> None:
    headers: dict[str, Any] = {}
    task_context.stamp_request_id(headers=headers)
    assert is_acceptable_request_id(headers[HEADER])


def test_a_retry_keeps_its_id() -> None:
    headers: dict[str, Any] = {HEADER: "req_first"}
    with structlog.contextvars.bound_contextvars(request_id="req_second"):
        task_context.stamp_request_id(headers=headers)
    assert headers == {HEADER: "req_first"}


def test_a_harmful_id_is_not_bound() -> None:
    class Request:
        focsal_request_id = 'bad"}\n'

    class Task:
        name = "demo"
        request = Request()

    task_context.bind_task(task_id="t1", task=Task())
    assert structlog.contextvars.get_contextvars()["request_id"].startswith("req_")


def test_the_id_reaches_the_worker() -> None:
    app = Celery("test", broker="memory://", backend="cache+memory://", set_as_current=False)
    seen: list[dict[str, Any]] = []

    @app.task(name="test.look")
    def look() -> None:
        seen.append(structlog.contextvars.get_contextvars())

    task_context.connect()
    with start_worker(app, pool="solo", perform_ping_check=False, loglevel="ERROR"):
        with structlog.contextvars.bound_contextvars(request_id="req_from_web_0001"):
            result = look.delay()
        result.get(timeout=20)
    [context] = seen
    assert context == {
        "request_id": "req_from_web_0001",
        "task": "test.look",
        "task_id": result.id,
    }
    assert structlog.contextvars.get_contextvars() == {}


def test_workers_use_our_logging() -> None:
    """A receiver of setup_logging keeps Celery from installing handlers that redact nothing."""
    from celery import signals

    import focsal.celery

    names = [
        getattr(receiver(), "__name__", "") for _, receiver in signals.setup_logging.receivers or ()
    ]
    assert focsal.celery._use_our_logging.__name__ in names
