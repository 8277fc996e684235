"""Periodic work on usage, keys' records and partitions."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from apps.core.logs import get_logger
from apps.keys.services import records_refresh, records_sync
from apps.usage.drain import UsageDrain
from apps.usage.partitions import partitions_maintain
from apps.usage.quotas import quota_notices_send
from apps.usage.recovery import spool_drain

_DRAIN_BUDGET_S = 8.0
_log = get_logger(__name__)


@shared_task(name="usage.drain")
def drain() -> None:
    """Every two seconds: pending key records first, since a revocation waits there."""
    records_sync()
    spool_drain()
    UsageDrain().run(_DRAIN_BUDGET_S)


@shared_task(name="usage.quota_notices")
def quota_notices() -> None:
    quota_notices_send(settings.KEY_ENVIRONMENT, timezone.now())


@shared_task(name="usage.maintain_partitions")
def maintain_partitions() -> None:
    """Hourly: partitions of the coming week, retention, fresh key records, names of dead consumers."""
    dropped = partitions_maintain(timezone.now().date())
    if dropped:
        _log.info("usage_partitions_dropped", names=dropped)
    records_refresh()
    UsageDrain().forget_idle_consumers()
