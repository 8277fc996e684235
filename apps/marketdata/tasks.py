"""Celery tasks of the market data tables."""

from __future__ import annotations

from datetime import UTC, datetime

from celery import shared_task
from django.conf import settings

from apps.core.clock import market_clock
from apps.core.logs import get_logger
from apps.marketdata.clocksync import sync_market_clock
from apps.marketdata.partitions import drop_expired, ensure_window

logger = get_logger(__name__)


@shared_task(name="marketdata.maintain_partitions")
def maintain_partitions() -> None:
    """Partitions ahead of market time, and an end to what is older than its policy keeps."""
    clock_is_known = sync_market_clock(force=True)
    if settings.MARKET == "replay" and not clock_is_known:
        # By wall time a recording of 2023 would count as expired.
        logger.info("partitions_wait_for_market_clock")
        return
    now = datetime.fromtimestamp(market_clock.now_s(), tz=UTC)
    created = ensure_window(now)
    dropped = drop_expired(now)
    if created or dropped:
        logger.info("partitions_maintained", created=created, dropped=dropped)
