"""What candles are and how to read them."""

from __future__ import annotations

from typing import Final

from apps.dashboard.guides.base import Formula, MetricGuide, Reading
from apps.markets.contracts_ohlcv import OHLCV_METRIC
from apps.markets.history_ohlcv import INTERVALS

GUIDE: Final = MetricGuide(
    slug="ohlcv",
    metric=OHLCV_METRIC,
    path="/v1/markets/ohlcv",
    title="Candles",
    lead="Open, high, low, close and volume: of every venue, and over the venues.",
    unit="Prices are quote currency per coin; USDT, USDC and USD count as one. volume_base is coins, "
    "volume_usd US dollars of traded value, value percent.",
    formulas=(
        Formula(
            "Weight of a venue",
            "wᵥ = volume_usdᵥ / Σ volume_usd",
            "In that very interval. A venue without a trade in it has no weight.",
        ),
        Formula(
            "Open over the venues",
            "open = Σ wᵥ × openᵥ",
            "The mean of the venues' first prices; they need not have traded at the same moment.",
        ),
        Formula(
            "High and low over the venues",
            "high = Σ wᵥ × highᵥ, low = Σ wᵥ × lowᵥ",
            "Not the highest of all: one venue's spike counts by what was traded there. With the same "
            "weights for all four prices, low ≤ open, close ≤ high always holds.",
        ),
        Formula(
            "Close over the venues",
            "close = Σ wᵥ × closeᵥ",
            "The mean of the venues' last prices. Volumes and trades are sums.",
        ),
        Formula(
            "Longer candles",
            "first open, highest high, lowest low, last close, sums",
            "Of each venue's stored bars, aligned to UTC; a week starts on Monday 00:00. The candle over "
            "the venues is then made of the venues' candles of that same length.",
        ),
        Formula(
            "Return of the hour",
            "value = 100 × (close / open − 1)",
            "Over the last 60 closed minutes and the minute in the making. volume has the same hour's "
            "volume with its own context; its z-score is taken on log(1 + USD).",
        ),
    ),
    states=(
        Reading("rising_fast", "+2 % in the hour and more"),
        Reading("rising", "from 0.25 to 2 %"),
        Reading("flat", "between −0.25 and 0.25 %"),
        Reading("falling", "from −2 to −0.25 %"),
        Reading("falling_fast", "−2 % and less"),
    ),
    notes=(
        "A minute without a trade has no candle: nothing is carried forward or made up, so ts may jump. "
        "A longer interval has a candle as soon as one of its minutes has.",
        "closed is false for the candle in the making. complete is false where a part of the interval was "
        "not watched.",
        "kind=perp or kind=spot. The current answer without kind has perpetuals, and spot in spot; with "
        "venue it is of one kind. History without kind is of perpetuals.",
        "The current answer has candles of 1m and 1h per venue; history (from, to) has all lengths, as far "
        "back as bars are stored: /v1/meta/assets says since when, listing by listing.",
    ),
    intervals=tuple(INTERVALS.seconds),
    example="ohlcv",
    reads=("aggregate", "bars", "1h", "last", "close"),
    history_reads=("aggregate", "close"),
)
