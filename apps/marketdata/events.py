"""The normalised event vocabulary: what every venue's messages become. Pure, no Django.

Conventions. Prices are in quote currency per one base unit, quantities in base units: 1000× symbols and
contracts are already resolved. ``ts_event`` is the venue's own time, ``ts_recv`` ours, both integer
nanoseconds since the epoch, UTC. Rates are decimals. No field is ever NaN, infinite or negative where
that makes no sense: a parser that meets such a value counts the message as malformed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from apps.marketdata.instruments import Instrument

Levels: TypeAlias = list[tuple[float, float]]
"""(price, quantity) pairs; a quantity of 0 in a delta removes the level."""


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"


class PositionSide(StrEnum):
    LONG = "long"
    SHORT = "short"


class FundingKind(StrEnum):
    PREDICTED = "predicted"
    SETTLED = "settled"


class Quality(StrEnum):
    """How complete a venue's liquidation feed is (VENUES, liquidations)."""

    FULL = "full"
    SAMPLED = "sampled"
    PARTIAL = "partial"
    ESTIMATED = "estimated"


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One print; ``aggressor_side`` is the taker's side."""

    instrument: Instrument
    ts_event: int
    ts_recv: int
    price: float
    qty_base: float
    aggressor_side: Side
    trade_id: str
    is_block: bool = False


class BookSnapshot(msgspec.Struct, frozen=True, gc=False):
    """A whole book; ``seq`` is the venue's sequence number of this state."""

    instrument: Instrument
    ts_event: int
    ts_recv: int
    seq: int
    bids: Levels
    asks: Levels


class BookDelta(msgspec.Struct, frozen=True, gc=False):
    """Absolute new sizes of the levels that changed.

    ``first_seq``…``last_seq`` is the range of venue updates inside; ``prev_seq`` is the last sequence of
    the message before it, or -1 where the venue does not say.
    """

    instrument: Instrument
    ts_event: int
    ts_recv: int
    first_seq: int
    last_seq: int
    prev_seq: int
    bids: Levels
    asks: Levels


class BestQuote(msgspec.Struct, frozen=True, gc=False):
    instrument: Instrument
    ts_event: int
    ts_recv: int
    bid_price: float
    bid_qty: float
    ask_price: float
    ask_qty: float


class MarkPrice(msgspec.Struct, frozen=True, gc=False):
    instrument: Instrument
    ts_event: int
    ts_recv: int
    mark_price: float
    index_price: float | None


class FundingRate(msgspec.Struct, frozen=True, gc=False):
    """A funding rate of one interval.

    ``rate`` is a decimal per ``interval_h`` hours (longs pay when positive); ``rate_raw`` is the venue's
    own string. For ``settled``, ``funding_ts`` (ns) is the settlement; for ``predicted`` it is the
    coming one. ``interval_h`` is None when the venue's message does not carry it: the instrument's own
    interval then applies.
    """

    instrument: Instrument
    ts_event: int
    ts_recv: int
    kind: FundingKind
    rate: float
    rate_raw: str
    interval_h: float | None
    funding_ts: int


class OpenInterest(msgspec.Struct, frozen=True, gc=False):
    """Single-sided open interest. ``oi_usd`` is None where the mark price is needed and unknown."""

    instrument: Instrument
    ts_event: int
    ts_recv: int
    oi_contracts: float
    oi_base: float
    oi_usd: float | None


class Liquidation(msgspec.Struct, frozen=True, gc=False):
    """A forced close; ``position_side`` is the side of the position that was liquidated."""

    instrument: Instrument
    ts_event: int
    ts_recv: int
    position_side: PositionSide
    price: float
    qty_base: float
    notional_usd: float
    quality: Quality
    event_id: str


class Ticker(msgspec.Struct, frozen=True, gc=False):
    """Rolling 24-hour figures as the venue publishes them."""

    instrument: Instrument
    ts_event: int
    ts_recv: int
    last_price: float
    volume_24h_base: float
    volume_24h_usd: float


class Candle(msgspec.Struct, frozen=True, gc=False):
    """One bar; taker figures are None where the venue does not publish them."""

    instrument: Instrument
    ts_event: int
    ts_recv: int
    interval_s: int
    open_ts: int
    open: float
    high: float
    low: float
    close: float
    volume_base: float
    volume_usd: float
    buy_base: float | None
    buy_usd: float | None
    trades: int | None
    is_closed: bool


class PositioningRatio(msgspec.Struct, frozen=True, gc=False):
    """Share of longs, 0–1. ``series`` is accounts, top_accounts, top_positions or taker."""

    instrument: Instrument
    ts_event: int
    ts_recv: int
    series: str
    long_share: float
    period_s: int


class IndexPrice(msgspec.Struct, frozen=True, gc=False):
    """A venue's price index of an asset, which belongs to no listing; ``index_name`` is the venue's."""

    venue: str
    asset: str
    index_name: str
    ts_event: int
    ts_recv: int
    price: float


class VolatilityIndex(msgspec.Struct, frozen=True, gc=False):
    """A venue's 30-day implied volatility index (DVOL); ``volatility`` is a yearly fraction: 0.43."""

    venue: str
    asset: str
    index_name: str
    ts_event: int
    ts_recv: int
    volatility: float


class OptionMark(msgspec.Struct, frozen=True, gc=False):
    """Mark price (in the instrument's quote currency per base unit) and implied volatility (fraction)."""

    instrument: Instrument
    ts_event: int
    ts_recv: int
    mark_price: float
    mark_iv: float


class OptionQuote(msgspec.Struct, frozen=True, gc=False):
    """Everything that a venue says of one option at one moment; None where it does not say.

    Prices are premiums in the instrument's quote currency per base unit (coins for inverse options),
    volatilities yearly fractions, open interest in base units. ``underlying_price`` is of the future that
    the option is priced on. Greeks are the venue's own, in USD per base unit of the underlying.
    """

    instrument: Instrument
    ts_event: int
    ts_recv: int
    mark_price: float
    mark_iv: float | None
    bid_price: float | None
    ask_price: float | None
    bid_iv: float | None
    ask_iv: float | None
    underlying_price: float | None
    underlying_index: str
    oi_base: float
    volume_24h_base: float | None
    interest_rate: float | None
    delta: float | None = None
    gamma: float | None = None
    vega: float | None = None
    theta: float | None = None
    rho: float | None = None


class OptionTrade(msgspec.Struct, frozen=True, gc=False):
    """One print of an option; ``price`` is the premium as in :class:`OptionQuote`, ``iv`` a fraction.

    ``combo_id`` names the combination of which this print is a leg: legs are reported, combinations not.
    """

    instrument: Instrument
    ts_event: int
    ts_recv: int
    price: float
    qty_base: float
    aggressor_side: Side
    trade_id: str
    iv: float | None
    index_price: float | None
    mark_price: float | None
    is_block: bool = False
    combo_id: str = ""


class Control(msgspec.Struct, frozen=True, gc=False):
    """A frame that carries no market data: ack, error, pong, heartbeat, notice.

    ``request_id`` is the request that it answers, ``channel`` the one channel that it speaks of, where
    the venue says so.
    """

    venue: str
    ts_recv: int
    kind: str
    request_id: str | None = None
    detail: str = ""
    channel: str = ""


MarketEvent: TypeAlias = (
    Trade
    | BookSnapshot
    | BookDelta
    | BestQuote
    | MarkPrice
    | FundingRate
    | OpenInterest
    | Liquidation
    | Ticker
    | Candle
    | PositioningRatio
    | IndexPrice
    | VolatilityIndex
    | OptionMark
    | OptionQuote
    | OptionTrade
)
Event: TypeAlias = MarketEvent | Control
