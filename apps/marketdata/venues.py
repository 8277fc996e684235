"""Which venues this deployment serves: the five, and those that the operator added by settings alone."""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings

from apps.marketdata.universe import VENUES


def polled_venues() -> Mapping[str, float]:
    """Seconds between two polls of each venue that has no stream here (``FOCSAL_CCXT_VENUES``)."""
    found: Mapping[str, float] = settings.CCXT_VENUES
    return found


def all_venues() -> tuple[str, ...]:
    """Every venue in its fixed order: the five, then the polled ones."""
    return (*VENUES, *polled_venues())
