"""What positioning is and how to read it."""

from __future__ import annotations

from typing import Final

from apps.dashboard.guides.base import Formula, MetricGuide, Reading
from apps.markets.contracts_positioning import POSITIONING_METRIC
from apps.markets.history_positioning import INTERVALS

GUIDE: Final = MetricGuide(
    slug="positioning",
    metric=POSITIONING_METRIC,
    path="/v1/markets/positioning",
    title="Positioning",
    lead="Who is long: all accounts, the top traders, and the takers of the last half hour.",
    unit="Every value is a share, 0 to 1: 0.6 means that 60 % are long. ratio is longs per short, the form "
    "that venues show: 1.5 for the same. aggregate.value and venues.* are shares of all accounts; "
    "top_accounts, top_positions and taker stand in series.",
    formulas=(
        Formula(
            "Share and ratio",
            "s = r / (1 + r), r = s / (1 − s)",
            "A ratio has no mean of its own: 2 and 0.5 are equally far from balance, and their mean is 1.25. "
            "So ratios become shares first.",
        ),
        Formula(
            "Aggregate",
            "S = Σ(OIᵥ × sᵥ) / Σ OIᵥ",
            "Over the venues that publish the series, weighted by the open interest of the same perpetual "
            "in USD. One venue alone is its own aggregate (weighting: none).",
        ),
        Formula(
            "ls_consensus",
            "(Σ wᵥ dᵥ)² / (Σ wᵥ × Σ wᵥ dᵥ²), d = s − 0.5",
            "1 where all venues lean the same way alike, 0 where they cancel out; null for one venue.",
        ),
        Formula(
            "Taker",
            "taker.value = bought / (bought + sold)",
            "Coins that takers traded in the half hour that ended at updated_at. Live taker flow in USD is "
            "in volume-flow.",
        ),
        Formula(
            "Worked example",
            "ratios 1.5 and 0.8 with weights 0.7 and 0.3 → share 0.553333, ratio 1.238806",
            "Not 1.29, the mean of the ratios.",
        ),
    ),
    states=(
        Reading("longs_crowded", "share of 0.70 and more: seven longs for three shorts"),
        Reading("longs_lead", "from 0.55"),
        Reading("balanced", "between 0.45 and 0.55"),
        Reading("shorts_lead", "up to 0.45"),
        Reading("shorts_crowded", "0.30 and less"),
        Reading("buyers_dominate", "taker: 0.60 and more, a difference of 20 % of the volume"),
        Reading("net_buying", "taker: from 0.525"),
        Reading("net_selling", "taker: up to 0.475"),
        Reading("sellers_dominate", "taker: 0.40 and less"),
    ),
    notes=(
        "Every contract has a long and a short: the share counts heads, not size. Many small longs stand "
        "against few large shorts where it is high.",
        "Binance and OKX publish all four series, Bybit that of all accounts. Deribit and Hyperliquid "
        "publish none: their values are null (no_data), their source says not_published, and nothing is "
        "missing without them.",
        "Top traders are each venue's own choice: at Binance the 20 % of accounts with the largest margin.",
        "Venues take a sample every five minutes. percentile_30d and z_score compare the share now with the "
        "last 30 days of the same venues, each moment with the weights of its own time.",
        "History (from, to) is the last sample of each interval; before the first start of this deployment "
        "samples are half an hour apart.",
    ),
    intervals=tuple(INTERVALS.seconds),
    example="positioning",
    reads=("aggregate", "ratio"),
    history_reads=("aggregate", "value"),
)
