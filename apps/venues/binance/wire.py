"""Binance's wire messages, one struct each. Field names are Binance's own; only what we use is listed.

Numbers arrive as strings: the decoders run in msgspec's lax mode, which turns them into floats in C.
Bounds on the types refuse NaN, infinities and negatives there too. Fields that Binance adds are ignored.

Docs: https://developers.binance.com/docs/derivatives/usds-margined-futures (UM) and
https://developers.binance.com/docs/binance-spot-api-docs (spot).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

Ms: TypeAlias = Annotated[int, Meta(ge=0, le=9_000_000_000_000)]
"""Milliseconds since the epoch; the bound keeps nanoseconds inside 64 bits."""
Seq: TypeAlias = Annotated[int, Meta(ge=0)]
Price: TypeAlias = Annotated[float, Meta(gt=0, le=1e15)]
PriceOrZero: TypeAlias = Annotated[float, Meta(ge=0, le=1e15)]
Qty: TypeAlias = Annotated[float, Meta(ge=0, le=1e18)]
Volume: TypeAlias = Annotated[float, Meta(ge=0, le=1e24)]
WireLevels: TypeAlias = list[tuple[Price, Qty]]

COIN_MARGINED: Final = 2
"""``st`` of coin-margined contracts, which share all-market streams since 2026-06-30; 1 is UM."""


class AggTrade(Struct, tag_field="e", tag="aggTrade", gc=False):
    """``<symbol>@aggTrade`` (UM /market; spot): fills of one taker order at one price.

    ``a`` aggregate id, ``p`` price, ``q`` quantity, ``T`` trade time, ``m`` buyer is maker.
    """

    s: str
    p: Price
    q: Qty
    T: Ms
    m: bool
    a: int = -1
    st: int = 1


class Trade(Struct, tag_field="e", tag="trade", gc=False):
    """``<symbol>@trade`` (spot; undocumented on UM, found in recordings): single fills.

    ``t`` trade id, ``T`` trade time, ``m`` buyer is maker. ``X`` (UM only): ``MARKET`` is a trade in the
    book; ``INSURANCE_FUND``, ``ADL`` and ``NA`` (price 0) are not.
    """

    s: str
    t: int
    p: PriceOrZero
    q: Qty
    T: Ms
    m: bool
    X: str | None = None
    st: int = 1


class DepthUpdate(Struct, tag_field="e", tag="depthUpdate", gc=False):
    """``<symbol>@depth@100ms`` (UM /public; spot): new absolute sizes, 0 removes.

    ``E`` event time, ``T`` transaction time (UM), ``U``…``u`` update ids inside, ``pu`` last update id of
    the message before (UM), ``b``/``a`` levels.
    """

    E: Ms
    s: str
    U: Seq
    u: Seq
    b: WireLevels
    a: WireLevels
    T: Ms | None = None
    pu: int = -1
    st: int = 1


class BookTicker(Struct, tag_field="e", tag="bookTicker", gc=False):
    """``<symbol>@bookTicker`` (UM /public): best bid ``b`` × ``B`` and ask ``a`` × ``A``."""

    s: str
    b: PriceOrZero
    B: Qty
    a: PriceOrZero
    A: Qty
    T: Ms | None = None
    E: Ms | None = None
    st: int = 1


class SpotBookTicker(Struct, gc=False):
    """``<symbol>@bookTicker`` of spot: no event type and no time."""

    u: Seq
    s: str
    b: PriceOrZero
    B: Qty
    a: PriceOrZero
    A: Qty


class ForcedOrder(Struct, gc=False):
    """``o`` of forceOrder: ``S`` side of the closing order, ``ap`` average price, ``z`` filled quantity.

    ``X`` order status, ``T`` trade time.
    """

    s: str
    S: str
    ap: PriceOrZero
    X: str
    z: Qty
    T: Ms
    st: int = 1


class ForceOrder(Struct, tag_field="e", tag="forceOrder", gc=False):
    """``!forceOrder@arr`` or ``<symbol>@forceOrder`` (UM /market): at most one per symbol and second."""

    E: Ms
    o: ForcedOrder
    st: int = 1


class MarkPriceUpdate(Struct, tag_field="e", tag="markPriceUpdate", gc=False):
    """``<symbol>@markPrice@1s`` or an array of them on ``!markPrice@arr@1s`` (UM /market).

    ``p`` mark price, ``i`` index price, ``r`` running rate of the coming settlement (empty for dated
    contracts), ``T`` that settlement (0 for dated contracts).
    """

    E: Ms
    s: str
    p: PriceOrZero
    r: str = ""
    T: Ms = 0
    i: PriceOrZero = 0.0
    st: int = 1


class Ticker24h(Struct, tag_field="e", tag="24hrTicker", gc=False):
    """``<symbol>@ticker``, ``!ticker@arr``: ``c`` last price, ``v`` base and ``q`` quote volume of 24 h."""

    E: Ms
    s: str
    c: PriceOrZero
    v: Volume
    q: Volume
    st: int = 1


class Bar(Struct, gc=False):
    """``k`` of kline: ``t`` open time, ``i`` interval, ``v``/``q`` base and quote volume, ``V``/``Q`` the
    part bought by takers, ``n`` trades, ``x`` closed."""

    t: Ms
    i: str
    o: Price
    h: Price
    l: Price  # noqa: E741 - Binance's name of the low
    c: Price
    v: Volume
    q: Volume
    V: Volume
    Q: Volume
    n: Seq
    x: bool


class Kline(Struct, tag_field="e", tag="kline", gc=False):
    """``<symbol>@kline_1m`` (UM /market; spot)."""

    E: Ms
    s: str
    k: Bar
    st: int = 1


class ServerShutdown(Struct, tag_field="e", tag="serverShutdown", gc=False):
    """Spot: this connection closes in a few minutes; open another now."""

    E: Ms = 0


Message: TypeAlias = (
    AggTrade
    | Trade
    | DepthUpdate
    | BookTicker
    | ForceOrder
    | MarkPriceUpdate
    | Ticker24h
    | Kline
    | ServerShutdown
)


class Framed(Struct, gc=False):
    """Combined-stream envelope: ``/stream?streams=a/b``."""

    data: Message | list[Message]


class FramedDepth(Struct, gc=False):
    """Combined-stream envelope of a depth stream."""

    data: DepthUpdate


class FramedSpotBookTicker(Struct, gc=False):
    """Combined-stream envelope of spot's untagged bookTicker."""

    data: SpotBookTicker


class DepthBody(Struct, gc=False):
    """``GET /fapi/v1/depth``, ``GET /api/v3/depth``; spot has no times ``E`` and ``T``."""

    lastUpdateId: Seq
    bids: WireLevels
    asks: WireLevels
    E: Ms | None = None
    T: Ms | None = None


KINDS: Final[frozenset[str]] = frozenset(
    {
        "aggTrade",
        "trade",
        "depthUpdate",
        "bookTicker",
        "forceOrder",
        "markPriceUpdate",
        "24hrTicker",
        "kline",
        "serverShutdown",
    }
)
"""Values of ``e`` that the adapter knows."""

framed_decoder: Final = msgspec.json.Decoder(Framed, strict=False)
framed_depth_decoder: Final = msgspec.json.Decoder(FramedDepth, strict=False)
framed_spot_quote_decoder: Final = msgspec.json.Decoder(FramedSpotBookTicker, strict=False)
bare_decoder: Final[msgspec.json.Decoder[Message | list[Message]]] = msgspec.json.Decoder(
    Message | list[Message],
    strict=False,
)
depth_decoder: Final = msgspec.json.Decoder(DepthBody, strict=False)
any_decoder: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder()


def message_from(document: object) -> Message:
    """A single decoded JSON object as its struct; raises ``msgspec.ValidationError``."""
    message: Message = msgspec.convert(document, Message, strict=False)
    return message


def spot_quote_from(document: object) -> SpotBookTicker:
    return msgspec.convert(document, SpotBookTicker, strict=False)
