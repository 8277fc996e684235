"""The request id travels with every task: from the request that published it into the worker's logs."""

from __future__ import annotations

from typing import Any, Final

import structlog
from celery import signals

from apps.core.ids import is_acceptable_request_id, new_request_id

HEADER: Final = "focsal_request_id"
_BOUND: Final = ("request_id", "task", "task_id")


def stamp_request_id(headers: dict[str, Any] | None = None, **_: Any) -> None:
    """Before publishing: the publisher's request id, or a new one for what beat starts."""
    if headers is None:
        return
    bound = structlog.contextvars.get_contextvars().get("request_id")
    headers.setdefault(HEADER, bound or new_request_id())


def bind_task(task_id: str = "", task: Any = None, **_: Any) -> None:
    """Before running: the id on each log line of the task."""
    offered = getattr(task.request, HEADER, None)
    if not (isinstance(offered, str) and is_acceptable_request_id(offered)):
        offered = new_request_id()
    structlog.contextvars.bind_contextvars(request_id=offered, task=task.name, task_id=task_id)


def unbind_task(**_: Any) -> None:
    structlog.contextvars.unbind_contextvars(*_BOUND)


def connect() -> None:
    """Idempotent: signals keep one receiver per ``dispatch_uid``."""
    signals.before_task_publish.connect(stamp_request_id, dispatch_uid="focsal.stamp_request_id")
    signals.task_prerun.connect(bind_task, dispatch_uid="focsal.bind_task")
    signals.task_postrun.connect(unbind_task, dispatch_uid="focsal.unbind_task")
