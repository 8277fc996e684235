"""Celery tasks of the snapshot schedule."""

from __future__ import annotations

from celery import shared_task
from redis.exceptions import RedisError

from apps.core.logs import get_logger
from apps.snapshots.services import due_refresh

log = get_logger(__name__)


@shared_task(name="snapshots.tick", ignore_result=True)
def tick() -> int:
    """Sent every two seconds; does nothing when no slot is due."""
    try:
        return due_refresh()
    except RedisError as error:
        # Without Redis there is neither live state nor a claim: the last snapshots age visibly.
        log.warning("snapshots_tick_redis_away", error=str(error))
        return 0
