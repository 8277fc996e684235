"""What liquidations are and how to read them."""

from __future__ import annotations

from typing import Final

from apps.dashboard.guides.base import Formula, MetricGuide, Reading
from apps.markets.contracts_liquidations import LIQUIDATIONS_METRIC
from apps.markets.history_liquidations import INTERVALS

GUIDE: Final = MetricGuide(
    slug="liquidations",
    metric=LIQUIDATIONS_METRIC,
    path="/v1/markets/liquidations",
    title="Liquidations",
    lead="Positions that venues closed by force: which side, where, how much, and whether that is unusual.",
    unit="US dollars: the size of the position at the price that the venue tells; qty_base is coins. "
    "aggregate.value and venues.* are of the last hour.",
    formulas=(
        Formula(
            "Side",
            "a forced sell closes a long, a forced buy closes a short",
            "side is that of the position that was liquidated, whichever way the venue marks it.",
        ),
        Formula(
            "Sums",
            "total = longs + shorts = Σ amount over the events of the window",
            "Windows of 1m, 1h, 4h and 24h end at snapshot_ts. Over the venues, those that publish "
            "liquidations add up.",
        ),
        Formula(
            "Imbalance",
            "(longs − shorts) / (longs + shorts)",
            "1 when only longs were liquidated, −1 when only shorts were, null when nothing was.",
        ),
        Formula(
            "z_score",
            "z = (ln(1 + x) − median) / (1.4826 × MAD)",
            "Of the hour's dollars among the rolling hours of 30 days: liquidations are skewed, so their "
            "logarithms are compared. percentile_30d ranks the dollars.",
        ),
        Formula(
            "Worked example",
            "longs 120,000 and 30,000, a short of 50,000 → 200,000, imbalance 0.5, longs_liquidated",
            "largest is the long of 120,000.",
        ),
    ),
    states=(
        Reading("longs_liquidated", "three of four dollars and more were longs"),
        Reading("shorts_liquidated", "three of four dollars and more were shorts"),
        Reading("both_sides", "anything between"),
        Reading("quiet", "nothing was liquidated in the hour, and somebody listened"),
    ),
    notes=(
        "Venues keep no past of their liquidations: what was not listened to is lost. A sum is given where "
        "at least 95 % of its time was listened to (coverage); else it is null (insufficient_history), never "
        "0, and observed_usd says what was seen in the part.",
        "completeness says how whole a feed is. full: Bybit, Deribit. sampled: Binance tells at most one "
        "order per symbol and second. partial: OKX says that some are missing. Sums with those inside are "
        "lower bounds: undercount is true.",
        "Hyperliquid publishes none. completeness is estimated: large one-sided sweeps that took as many "
        "coins out of open interest. An ordinary market close looks the same, so estimates are no part of "
        "aggregate and venues; they stand in venues_detail, events and estimated_usd.",
        "Each venue counts with its main perpetual of the asset, named in symbol. price is the average fill "
        "(Binance), the trade (Deribit) or the bankruptcy price (Bybit, OKX).",
        "events has the newest 50 of the last 24 hours. History (from, to) has sums of each interval; an "
        "interval in which nobody listened has no row. interval=event lists the events themselves, oldest "
        "first; next_cursor goes on behind the last one, also where several share a millisecond.",
    ),
    intervals=tuple(INTERVALS.seconds),
    example="liquidations",
    reads=("aggregate", "value"),
    history_reads=("aggregate", "total_usd"),
)
