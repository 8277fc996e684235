"""Ends of tasks that talk to Redis."""

from __future__ import annotations

import asyncio


def is_ending() -> bool:
    """Whether the running task was cancelled.

    A cancellation that meets redis-py while it connects may be swallowed, or come out as a time-out; loops
    ask here, so that they end all the same.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
