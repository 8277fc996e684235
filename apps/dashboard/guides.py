"""Texts of the metric pages: what a number is, how it is made, how to read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from apps.markets.contracts import FIELDS, FLOW_METRIC, FUNDING_METRIC
from apps.markets.fields import FieldDoc
from apps.markets.history_flow import INTERVALS as FLOW_INTERVALS
from apps.markets.history_funding import INTERVALS as FUNDING_INTERVALS


@dataclass(frozen=True, slots=True)
class Formula:
    """A line of mathematics and what its letters stand for."""

    name: str
    text: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A word of the answer and when it is used."""

    word: str
    meaning: str


@dataclass(frozen=True, slots=True)
class MetricGuide:
    slug: str
    metric: str
    path: str
    title: str
    lead: str
    unit: str
    formulas: tuple[Formula, ...]
    states: tuple[Reading, ...]
    notes: tuple[str, ...]
    intervals: tuple[str, ...]
    example: str

    @property
    def fields(self) -> list[FieldDoc]:
        return [field for field in FIELDS if field.metric == self.metric]


_FUNDING: Final = MetricGuide(
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
    intervals=tuple(FUNDING_INTERVALS.seconds),
    example="funding",
)
_FLOW: Final = MetricGuide(
    slug="volume-flow",
    metric=FLOW_METRIC,
    path="/v1/markets/volume-flow",
    title="Taker flow",
    lead="Who crosses the spread, and with how much: taker buys against taker sells.",
    unit="US dollars of traded value (price × quantity of each trade); *_base fields are coins.",
    formulas=(
        Formula(
            "Delta",
            "delta = taker buys − taker sells",
            "A trade is a taker buy when its aggressor bought.",
        ),
        Formula(
            "Cumulative volume delta",
            "CVD(t) = Σ delta since 00:00 UTC",
            "cvd.anchor says where the sum starts; ratio = CVD / volume compares venues of any size.",
        ),
        Formula("Taker buy ratio", "taker buys / volume", "0.5 is balance."),
    ),
    states=(
        Reading("buyers_dominate", "delta is +20 % of the volume and more"),
        Reading("net_buying", "from 5 to 20 %"),
        Reading("balanced", "between −5 and 5 %"),
        Reading("net_selling", "from −20 to −5 %"),
        Reading("sellers_dominate", "−20 % and less"),
    ),
    notes=(
        "value is the delta of the last hour over the perpetuals of all venues; spot stands apart in spot.",
        "Windows roll with each refresh: 5m, 15m, 1h, 4h, 24h. coverage says which part has data.",
        "History (from, to) is made of bars; closed is false for the bar in the making.",
    ),
    intervals=tuple(FLOW_INTERVALS.seconds),
    example="volume-flow",
)
GUIDES: Final = {guide.slug: guide for guide in (_FUNDING, _FLOW)}

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
