"""What taker flow is and how to read it."""

from __future__ import annotations

from typing import Final

from apps.dashboard.guides.base import Formula, MetricGuide, Reading
from apps.markets.contracts import FLOW_METRIC
from apps.markets.history_flow import INTERVALS

GUIDE: Final = MetricGuide(
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
    intervals=tuple(INTERVALS.seconds),
    example="volume-flow",
    reads=("aggregate", "state"),
    history_reads=("aggregate", "delta_usd"),
)
