"""Tasks that a worker in a test of its own includes: one that waits, one that tells where it ran."""

from __future__ import annotations

import os

from celery import shared_task
from django.conf import settings
from redis import Redis


def patient() -> Redis:
    """A client that waits as long as it is told to."""
    return Redis.from_url(settings.REDIS_EDGE_URL, socket_timeout=120)


@shared_task(name="snapshots.test_wait")
def wait(started: str, end: str) -> None:
    """Say so, then hold a slot until somebody ends it."""
    client = patient()
    client.rpush(started, os.getpid())
    client.blpop([end], timeout=60)


@shared_task(name="billing.test_tell")
def tell(told: str) -> None:
    client = patient()
    client.rpush(told, os.getpid())
