"""What funding is and how to read it."""

from __future__ import annotations

from typing import Final

from apps.dashboard.guides.base import Formula, MetricGuide, Reading
from apps.markets.contracts import FUNDING_METRIC
from apps.markets.history_funding import INTERVALS

GUIDE: Final = MetricGuide(
    slug="funding",
    metric=FUNDING_METRIC,
    path="/v1/markets/funding",
    title="Funding rates",
    lead="What longs pay to shorts of perpetual futures, made comparable over venues and intervals.",
    unit="aggregate.value and venues.* are percent per 8 hours: 0.01 is one basis point per 8 hours. "
    "rate_8h, rate_1h and apr are decimals. rate_raw is the venue's own string.",
    formulas=(
        Formula(
            "Per 8 hours",
            "f₈ = f × 8 / h",
            "f is the venue's rate, h that symbol's own interval in hours (1, 2, 4 or 8): it is read from "
            "the venue, never assumed.",
        ),
        Formula(
            "Aggregate",
            "F = Σ(OIᵥ × f₈ᵥ) / Σ OIᵥ",
            "Over the venues, weighted by their open interest in USD. One venue alone is its own "
            "aggregate (weighting: none).",
        ),
        Formula("Per year", "apr = rate_1h × 8760", "Simple, not compounded."),
        Formula(
            "Worked example",
            "0.0092, 0.0085, 0.0096 % with OI 5, 3, 2 bn → 0.00907 %, 9.93 % a year",
            "The third venue says 0.0012 % per hour.",
        ),
    ),
    states=(
        Reading("longs_crowded", "+0.05 % per 8 h and more"),
        Reading("longs_pay", "above +0.015 %"),
        Reading("baseline", "from 0.005 to 0.015 %: the venues' own base rate"),
        Reading("flat", "from −0.005 to 0.005 %"),
        Reading("shorts_pay", "below −0.005 %"),
        Reading("shorts_crowded", "−0.05 % and less"),
    ),
    notes=(
        "Predicted rates (of the coming settlement) are in aggregate and venues; settled ones stand apart "
        "in settled. The two are never mixed.",
        "History (from, to) is made of settled rates: one row per settlement hour, 8 hours or day.",
    ),
    intervals=tuple(INTERVALS.seconds),
    example="funding",
    reads=("aggregate", "interpretation"),
    history_reads=("aggregate", "value"),
)
