"""Bybit's v5 public stream messages, one struct each. Field names are Bybit's; only what we use is listed.

A push is ``{"topic": "publicTrade.BTCUSDT", "type": "snapshot"|"delta", "ts": …, "data": …}``; what ``data``
is, the word before the first dot says. Numbers arrive as strings: the decoders run in msgspec's lax mode,
which turns them into floats in C. Bounds on the types refuse NaN, infinities and negatives there too. Sizes
are coins (of the quoted unit: 1000PEPE).

Docs: https://bybit-exchange.github.io/docs/v5/ws/connect
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

Ms: TypeAlias = Annotated[int, Meta(ge=0, le=9_000_000_000_000)]
"""Milliseconds since the epoch; the bound keeps nanoseconds inside 64 bits."""
Seq: TypeAlias = Annotated[int, Meta(ge=0)]
Price: TypeAlias = Annotated[float, Meta(gt=0, le=1e15)]
Qty: TypeAlias = Annotated[float, Meta(ge=0, le=1e18)]
Volume: TypeAlias = Annotated[float, Meta(ge=0, le=1e24)]


Level: TypeAlias = tuple[Price, Qty]
"""``[price, size]``; size 0 deletes."""


class BookRow(Struct, gc=False):
    """``orderbook``: ``u`` counts messages of this depth, ``seq`` is the venue's cross sequence."""

    s: str
    b: list[Level]
    a: list[Level]
    u: Seq


class TradeRow(Struct, gc=False):
    """``publicTrade``: ``S`` is the taker's side, ``BT`` a block trade."""

    T: Ms
    s: str
    S: str
    v: Qty
    p: Price
    i: str
    BT: bool = False


class LiquidationRow(Struct, gc=False):
    """``allLiquidation``: ``S`` is the side of the liquidated position, ``p`` the bankruptcy price."""

    T: Ms
    s: str
    S: str
    v: Qty
    p: Price


class OldLiquidationRow(Struct, gc=False):
    """``liquidation``, retired in 2025: at most one a second of each symbol; ``side`` as above."""

    updatedTime: Ms
    symbol: str
    side: str
    size: Qty
    price: Price


class CandleRow(Struct, gc=False):
    """``kline``: volume coins, turnover quote currency; ``confirm`` when closed."""

    start: Ms
    interval: str
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Volume
    turnover: Volume
    confirm: bool
    timestamp: Ms


class TickerRow(Struct, gc=False):
    """``tickers``: a snapshot has all fields, a delta those that changed; REST has all.

    Strings, because a field that does not apply is an empty one. ``openInterest`` counts both sides,
    ``singleOpenInterest`` (since 2026-06-11) one. ``fundingRate`` is for ``nextFundingTime``.
    """

    symbol: str
    lastPrice: str | None = None
    markPrice: str | None = None
    indexPrice: str | None = None
    openInterest: str | None = None
    openInterestValue: str | None = None
    singleOpenInterest: str | None = None
    singleOpenInterestValue: str | None = None
    turnover24h: str | None = None
    volume24h: str | None = None
    nextFundingTime: str | None = None
    fundingRate: str | None = None
    fundingIntervalHour: str | None = None
    bid1Price: str | None = None
    bid1Size: str | None = None
    ask1Price: str | None = None
    ask1Size: str | None = None


class BookFrame(Struct, gc=False):
    """``cts`` is the matching engine's time, missing in recordings before 2023-06."""

    topic: str
    type: str
    ts: Ms
    data: BookRow
    cts: Ms | None = None


class TickerFrame(Struct, gc=False):
    """``cs`` is the cross sequence: it never falls."""

    topic: str
    type: str
    ts: Ms
    data: TickerRow
    cs: Seq = 0


class TradeFrame(Struct, gc=False):
    topic: str
    type: str
    ts: Ms
    data: list[TradeRow]


class LiquidationFrame(Struct, gc=False):
    topic: str
    type: str
    ts: Ms
    data: list[LiquidationRow]


class OldLiquidationFrame(Struct, gc=False):
    topic: str
    type: str
    ts: Ms
    data: OldLiquidationRow


class CandleFrame(Struct, gc=False):
    topic: str
    type: str
    ts: Ms
    data: list[CandleRow]


class LooseFrame(Struct, gc=False):
    """Any push: its rows are looked at one by one."""

    topic: str
    data: Any
    type: str = ""
    ts: Ms = 0
    cts: Ms | None = None
    cs: Seq = 0


FRAMES: Final[dict[str, type[Any]]] = {
    "orderbook": BookFrame,
    "tickers": TickerFrame,
    "publicTrade": TradeFrame,
    "allLiquidation": LiquidationFrame,
    "liquidation": OldLiquidationFrame,
    "kline": CandleFrame,
}
"""The frame type by the first word of the topic."""
ROWS: Final[dict[str, type[Struct]]] = {
    "orderbook": BookRow,
    "tickers": TickerRow,
    "publicTrade": TradeRow,
    "allLiquidation": LiquidationRow,
    "liquidation": OldLiquidationRow,
    "kline": CandleRow,
}
UNUSED: Final = frozenset(
    {"priceLimit", "insurance", "adlAlert", "rpi", "kline_lt", "tickers_lt", "lt"}
)
"""Topics of the venue without anything that we store."""

INTERVAL_S: Final[dict[str, int]] = {
    "1": 60,
    "3": 180,
    "5": 300,
    "15": 900,
    "30": 1_800,
    "60": 3_600,
    "120": 7_200,
    "240": 14_400,
    "360": 21_600,
    "720": 43_200,
    "D": 86_400,
}
"""Candles whose width is fixed; weeks and months are not used."""

decoders: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    word: msgspec.json.Decoder(frame, strict=False) for word, frame in FRAMES.items()
}
any_decoder: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder()


def row_from(document: object, row_type: type[Struct]) -> Any:
    """A decoded JSON value as a row; raises ``msgspec.ValidationError``."""
    return msgspec.convert(document, row_type, strict=False)
