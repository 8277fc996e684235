"""OKX's v5 wire messages, one struct each. Field names are OKX's own; only what we use is listed.

A push frame is ``{"arg": {"channel": …, "instId": …}, "data": [row, …]}``: the channel decides what a row
is (:data:`ROWS`). Numbers arrive as strings: the decoders run in msgspec's lax mode, which turns them into
floats in C. Bounds on the types refuse NaN, infinities and negatives there too. Fields that may be an empty
string stay strings here. Sizes are contracts, except on spot.

Docs: https://www.okx.com/docs-v5/en/
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

Ms: TypeAlias = Annotated[int, Meta(ge=0, le=9_000_000_000_000)]
"""Milliseconds since the epoch; the bound keeps nanoseconds inside 64 bits."""
Seq: TypeAlias = Annotated[int, Meta(ge=0)]
PreviousSeq: TypeAlias = Annotated[int, Meta(ge=-1)]
Price: TypeAlias = Annotated[float, Meta(gt=0, le=1e15)]
Qty: TypeAlias = Annotated[float, Meta(ge=0, le=1e18)]
Volume: TypeAlias = Annotated[float, Meta(ge=0, le=1e24)]


class Arg(Struct, gc=False):
    """What a push is of. ``instType`` stands in for ``instId`` on channels of all instruments."""

    channel: str
    instId: str = ""
    instType: str = ""
    instFamily: str = ""
    uly: str = ""


class Level(Struct, array_like=True, gc=False):
    """``[price, size, "0", orders]``."""

    price: Price
    size: Qty


class BookRow(Struct, gc=False):
    """``books`` and ``books-l2-tbt``: new absolute sizes, 0 removes.

    ``prevSeqId`` is the ``seqId`` of the push before, -1 in a snapshot. Both are missing in recordings
    older than 2022-11; ``checksum`` is always 0 in newer ones.
    """

    asks: list[Level]
    bids: list[Level]
    ts: Ms
    seqId: Seq = 0
    prevSeqId: PreviousSeq = 0


class TradeRow(Struct, gc=False):
    """``trades`` (fills of one taker order at one price, merged) and ``trades-all`` (each fill).

    ``side`` is the taker's.
    """

    instId: str
    tradeId: str
    px: Price
    sz: Qty
    side: str
    ts: Ms


class TickerRow(Struct, gc=False):
    """``tickers``, 24 h. Derivatives: ``vol24h`` contracts, ``volCcy24h`` coins; spot: coins, quote."""

    instId: str
    ts: Ms
    last: str = ""
    vol24h: Volume = 0.0
    volCcy24h: Volume = 0.0


class MarkPriceRow(Struct, gc=False):
    """``mark-price``."""

    instId: str
    markPx: Price
    ts: Ms


class IndexTickerRow(Struct, gc=False):
    """``index-tickers``; ``instId`` names the index (``BTC-USDT``)."""

    instId: str
    idxPx: Price
    ts: Ms


class OpenInterestRow(Struct, gc=False):
    """``open-interest``: contracts, coins and (since 2024) USD; single side."""

    instId: str
    oi: Volume
    oiCcy: Volume
    ts: Ms
    oiUsd: str = ""


class FundingRateRow(Struct, gc=False):
    """``funding-rate``, every 30–90 s.

    ``fundingRate`` is the forecast for ``fundingTime``; ``nextFundingTime`` follows it by one interval.
    ``settFundingRate`` was settled at ``prevFundingTime`` when ``settState`` is ``settled``.
    """

    instId: str
    fundingTime: Ms
    fundingRate: str = ""
    nextFundingTime: str = ""
    prevFundingTime: str = ""
    settFundingRate: str = ""
    settState: str = ""
    ts: Ms | None = None


class LiquidationDetail(Struct, gc=False):
    """One liquidation: ``side`` of the closing order, ``posSide`` of the position (``net``: see ``side``).

    ``bkPx`` bankruptcy price, ``sz`` contracts.
    """

    side: str
    posSide: str
    bkPx: Price
    sz: Qty
    ts: Ms


class LiquidationRow(Struct, gc=False):
    """``liquidation-orders``: all of one instrument's since the last push, in no order of time."""

    instId: str
    details: list[Any]


class CandleRow(Struct, array_like=True, gc=False):
    """``candle…``: contracts, coins and quote currency; ``confirm`` 1 when closed."""

    ts: Ms
    open: Price
    high: Price
    low: Price
    close: Price
    vol: Volume
    volCcy: Volume
    volCcyQuote: Volume
    confirm: str


class BookFrame(Struct, gc=False):
    arg: Arg
    data: list[BookRow]
    action: str = ""


class TradeFrame(Struct, gc=False):
    arg: Arg
    data: list[TradeRow]
    action: str = ""


class TickerFrame(Struct, gc=False):
    arg: Arg
    data: list[TickerRow]
    action: str = ""


class MarkPriceFrame(Struct, gc=False):
    arg: Arg
    data: list[MarkPriceRow]
    action: str = ""


class IndexTickerFrame(Struct, gc=False):
    arg: Arg
    data: list[IndexTickerRow]
    action: str = ""


class OpenInterestFrame(Struct, gc=False):
    arg: Arg
    data: list[OpenInterestRow]
    action: str = ""


class FundingRateFrame(Struct, gc=False):
    arg: Arg
    data: list[FundingRateRow]
    action: str = ""


class LiquidationFrame(Struct, gc=False):
    arg: Arg
    data: list[LiquidationRow]
    action: str = ""


class CandleFrame(Struct, gc=False):
    arg: Arg
    data: list[CandleRow]
    action: str = ""


class LooseFrame(Struct, gc=False):
    """Any push: its rows are looked at one by one."""

    arg: Arg
    data: list[Any]
    action: str = ""


Frame: TypeAlias = (
    BookFrame
    | TradeFrame
    | TickerFrame
    | MarkPriceFrame
    | IndexTickerFrame
    | OpenInterestFrame
    | FundingRateFrame
    | LiquidationFrame
    | CandleFrame
)
FRAMES: Final[dict[type[Struct], type[Any]]] = {
    BookRow: BookFrame,
    TradeRow: TradeFrame,
    TickerRow: TickerFrame,
    MarkPriceRow: MarkPriceFrame,
    IndexTickerRow: IndexTickerFrame,
    OpenInterestRow: OpenInterestFrame,
    FundingRateRow: FundingRateFrame,
    LiquidationRow: LiquidationFrame,
    CandleRow: CandleFrame,
}
"""The frame type of each row type."""

INTERVAL_S: Final[dict[str, int]] = {
    "1s": 1,
    "1m": 60,
    "3m": 180,
    "5m": 300,
    "15m": 900,
    "30m": 1_800,
    "1H": 3_600,
    "2H": 7_200,
    "4H": 14_400,
    "6Hutc": 21_600,
    "12Hutc": 43_200,
    "1Dutc": 86_400,
}
"""Bars on the UTC grid; without ``utc`` the venue starts bars of 6 h and more at UTC+8."""

ROWS: Final[dict[str, type[Struct]]] = {
    "books": BookRow,
    "books-l2-tbt": BookRow,
    "books50-l2-tbt": BookRow,
    "books5": BookRow,
    "bbo-tbt": BookRow,
    "trades": TradeRow,
    "trades-all": TradeRow,
    "tickers": TickerRow,
    "mark-price": MarkPriceRow,
    "index-tickers": IndexTickerRow,
    "open-interest": OpenInterestRow,
    "funding-rate": FundingRateRow,
    "liquidation-orders": LiquidationRow,
    **{f"candle{name}": CandleRow for name in INTERVAL_S},
}
"""What a row is, by channel."""

UNUSED_CHANNELS: Final = frozenset(
    {"instruments", "price-limit", "opt-summary", "estimated-price", "status", "adl-warning"}
)
"""Known, but without anything that we store; candles of other series and grids belong here too."""
UNUSED_PREFIXES: Final = ("mark-price-candle", "index-candle", "candle")

decoders: Final[dict[type[Struct], msgspec.json.Decoder[Any]]] = {
    row: msgspec.json.Decoder(frame, strict=False) for row, frame in FRAMES.items()
}
any_decoder: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder()


def row_from(document: object, row_type: type[Struct]) -> Any:
    """A decoded JSON value as a row; raises ``msgspec.ValidationError``."""
    return msgspec.convert(document, row_type, strict=False)


def is_unused(channel: str) -> bool:
    return channel in UNUSED_CHANNELS or channel.startswith(UNUSED_PREFIXES)
