"""What a basis is and how to read it."""

from __future__ import annotations

from typing import Final

from apps.dashboard.guides.base import Formula, MetricGuide, Reading
from apps.markets.contracts_basis import BASIS_METRIC
from apps.markets.history_basis import INTERVALS

GUIDE: Final = MetricGuide(
    slug="basis",
    metric=BASIS_METRIC,
    path="/v1/markets/basis",
    title="Basis",
    lead="How far perpetuals and dated futures stand above their index, and what that is a year.",
    unit="value is percent of the index; basis and annualised are decimals (0.1 is 10 % a year). Prices are "
    "quote currency per coin.",
    formulas=(
        Formula(
            "Basis",
            "b = mark / index − 1",
            "Both prices are the venue's own, the index in the contract's own quote currency, and no more "
            "than 5 seconds apart: else null (stale).",
        ),
        Formula(
            "Aggregate",
            "B = Σ(OIᵥ × bᵥ) / Σ OIᵥ",
            "Perpetuals over the venues, weighted by their open interest in USD. One venue alone is its own "
            "aggregate (weighting: none).",
        ),
        Formula(
            "Perpetual, a year",
            "annualised = f₈ × 1095",
            "A perpetual has no day on which its basis must be gone: what holding it costs is its funding.",
        ),
        Formula(
            "Dated future, a year",
            "annualised = b × 365 / days",
            "Simple, not compounded. With less than a day left it is null (degenerate).",
        ),
        Formula(
            "Curve",
            "one point per day of delivery",
            "Contracts of all venues delivered that day, weighted by their open interest.",
        ),
        Formula(
            "Worked example",
            "mark 68,340, index 67,000, 73 days left → b = 2 %, annualised = 0.10: contango",
            "365 / 73 is five times a year.",
        ),
    ),
    states=(
        Reading("backwardation", "below 0 % a year"),
        Reading("flat", "from 0 to 5 %"),
        Reading("contango", "above 5 to 15 %"),
        Reading("steep", "above 15 %"),
    ),
    notes=(
        "value, percentile_30d and z_score are of the perpetuals' basis; state reads annualised.",
        "Binance, Bybit and OKX publish past mark and index prices. Deribit and Hyperliquid do not: "
        "percentile_30d and z_score of theirs are null until ours reaches back 10 days, and the aggregate is "
        "ranked on the venues in venues_ranked, then and now.",
        "Dated futures are those of Binance, Bybit, OKX and Deribit, most of them on BTC and ETH; an asset "
        "without any has an empty curve.",
        "History (from, to) is the last sample of each interval, with the dated contracts alive then in "
        "futures.",
    ),
    intervals=tuple(INTERVALS.seconds),
    example="basis",
    reads=("aggregate", "value"),
    history_reads=("aggregate", "value"),
)
