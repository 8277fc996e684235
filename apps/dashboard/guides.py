"""Texts of the metric pages: what a number is, how it is made, how to read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from apps.markets.contracts import FIELDS, FLOW_METRIC, FUNDING_METRIC
from apps.markets.contracts_basis import BASIS_METRIC
from apps.markets.contracts_ohlcv import OHLCV_METRIC
from apps.markets.contracts_open_interest import OPEN_INTEREST_METRIC
from apps.markets.fields import FieldDoc
from apps.markets.history_basis import INTERVALS as BASIS_INTERVALS
from apps.markets.history_flow import INTERVALS as FLOW_INTERVALS
from apps.markets.history_funding import INTERVALS as FUNDING_INTERVALS
from apps.markets.history_ohlcv import INTERVALS as OHLCV_INTERVALS
from apps.markets.history_open_interest import INTERVALS as OPEN_INTEREST_INTERVALS


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
_OPEN_INTEREST: Final = MetricGuide(
    slug="open-interest",
    metric=OPEN_INTEREST_METRIC,
    path="/v1/markets/open-interest",
    title="Open interest",
    lead="Positions in perpetual futures that are open: how many, where, and whether they are being built "
    "or closed.",
    unit="aggregate.value and venues.* are US dollars; oi_base is coins, oi_contracts the venue's own "
    "contracts. One side of each contract is counted, whatever the venue publishes.",
    formulas=(
        Formula(
            "USD",
            "linear: quantity × mark price; inverse: contracts × USD of a contract",
            "A venue that counts buyers and sellers is halved.",
        ),
        Formula("Aggregate", "OI = Σ OIᵥ", "Over the venues with a young number, in USD."),
        Formula(
            "Change",
            "Δ = Σ OIᵥ(now) − Σ OIᵥ(then), percent = 100 × Δ / Σ OIᵥ(then)",
            "Only venues known at both moments, named in venues. change_base is free of price.",
        ),
        Formula(
            "z_score",
            "z = (ln(OI / OI₋₂₄ₕ) − median) / (1.4826 × MAD)",
            "Open interest wanders, so the z compares its 24-hour change with those of the last 30 days; "
            "percentile_30d ranks the level.",
        ),
        Formula(
            "Worked example",
            "from 3.0 and 1.0 bn to 3.3 and 0.9 bn → +0.2 bn, +5 %, building",
            "The venues' shares are 0.785714 and 0.214286.",
        ),
    ),
    states=(
        Reading("building", "up 5 % and more in 24 hours"),
        Reading("rising", "up 1 % and more"),
        Reading("steady", "between −1 and 1 %"),
        Reading("falling", "down 1 % and more"),
        Reading("unwinding", "down 5 % and more"),
    ),
    notes=(
        "Each venue counts with its main perpetual of the asset, named in symbol.",
        "Deribit and Hyperliquid publish no past open interest: percentile_30d and z_score of theirs are "
        "null until ours reaches back 10 days, and the aggregate is ranked on the venues in "
        "venues_ranked, then and now.",
        "Bybit's past is published in coins alone: it is valued at Bybit's last traded price of that time.",
        "History (from, to) is the last sample of each interval; sampled_at says when that was.",
    ),
    intervals=tuple(OPEN_INTEREST_INTERVALS.seconds),
    example="open-interest",
)
_OHLCV: Final = MetricGuide(
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
    intervals=tuple(OHLCV_INTERVALS.seconds),
    example="ohlcv",
)
_BASIS: Final = MetricGuide(
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
    intervals=tuple(BASIS_INTERVALS.seconds),
    example="basis",
)
GUIDES: Final = {guide.slug: guide for guide in (_FUNDING, _FLOW, _OPEN_INTEREST, _OHLCV, _BASIS)}

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
