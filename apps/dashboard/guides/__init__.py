"""Texts of the metric pages: what a number is, how it is made, how to read it, how to ask for it."""

from __future__ import annotations

from typing import Final

from apps.dashboard.guides import (
    basis,
    funding,
    liquidations,
    ohlcv,
    open_interest,
    positioning,
    volume_flow,
)
from apps.dashboard.guides.base import Formula, MetricGuide, Reading

__all__ = ["GUIDES", "LABELS", "Formula", "MetricGuide", "Reading"]

_PAGES: Final = (funding, open_interest, liquidations, basis, ohlcv, positioning, volume_flow)
GUIDES: Final[dict[str, MetricGuide]] = {page.GUIDE.slug: page.GUIDE for page in _PAGES}

LABELS: Final = (
    Reading("extreme_low", "percentile up to 0.02, and |z| of 2 or more"),
    Reading("low", "up to 0.10"),
    Reading("subdued", "up to 0.25"),
    Reading("normal", "below 0.75"),
    Reading("elevated", "below 0.90"),
    Reading("high", "below 0.98"),
    Reading("extreme_high", "above, and |z| of 2 or more"),
    Reading(
        "insufficient_history", "fewer than 30 samples or less than 10 days: no label is given"
    ),
)
