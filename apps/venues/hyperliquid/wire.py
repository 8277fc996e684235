"""Hyperliquid's wire messages, one struct each. Field names are Hyperliquid's own; only what we use is here.

Every frame is ``{"channel": …, "data": …}``. Numbers arrive as strings: the decoders run in msgspec's lax
mode, which turns them into floats in C. Bounds on the types refuse NaN, infinities and negatives there
too. Fields that Hyperliquid adds are ignored.

Docs: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/subscriptions
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


class TradeRow(Struct, gc=False):
    """A fill. ``side`` B: the taker bought, A: the taker sold; ``tid`` is the trade's own number."""

    coin: str
    side: str
    px: Price
    sz: Qty
    time: Ms
    tid: Seq


class Level(Struct, gc=False):
    """Price and summed size of one level; ``n``, the number of orders, is not used."""

    px: Price
    sz: Qty


class BookBody(Struct, gc=False):
    """A whole book: bids, then asks, best first. Also the answer to ``{"type": "l2Book"}``."""

    coin: str
    time: Ms
    levels: tuple[list[Level], list[Level]]


class BboBody(Struct, gc=False):
    """Best bid and best ask; null, or left out at the end, for an empty side."""

    coin: str
    time: Ms
    bbo: list[Level | None]


class AssetCtx(Struct, gc=False):
    """State of a perpetual: ``funding`` is the running rate of this hour, ``openInterest`` one side."""

    funding: str
    openInterest: Volume
    markPx: PriceOrZero
    oraclePx: PriceOrZero = 0.0


class CoinCtx(Struct, gc=False):
    coin: str
    ctx: AssetCtx


class DexCtxs(Struct, gc=False):
    """(dex, states) pairs; "" is Hyperliquid's own dex, the others are builders' (HIP-3)."""

    ctxs: list[tuple[str, list[AssetCtx | None]]]


class Bar(Struct, gc=False):
    """``t``…``T`` open and close time, ``v`` volume in quoted units, ``n`` trades.

    Also an element of the answer to ``candleSnapshot``.
    """

    t: Ms
    T: Ms
    s: str
    i: str
    o: Price
    h: Price
    l: Price  # noqa: E741 - Hyperliquid's name of the low
    c: Price
    v: Volume
    n: Seq


class Ack(Struct, gc=False):
    """``data`` of subscriptionResponse: what was asked for, in full."""

    method: str
    subscription: dict[str, Any]


class Trades(Struct, tag_field="channel", tag="trades", gc=False):
    """``trades`` of one coin. The first frame after subscribing is a backlog."""

    data: list[TradeRow]


class L2Book(Struct, tag_field="channel", tag="l2Book", gc=False):
    """``l2Book``: 20 levels a side every 5 s, or 5 levels every 0.5 s with ``fast``."""

    data: BookBody


class Bbo(Struct, tag_field="channel", tag="bbo", gc=False):
    """``bbo``: on each block that changes it."""

    data: BboBody


class ActiveAssetCtx(Struct, tag_field="channel", tag="activeAssetCtx", gc=False):
    """``activeAssetCtx`` of one perpetual."""

    data: CoinCtx


class ActiveSpotAssetCtx(Struct, tag_field="channel", tag="activeSpotAssetCtx", gc=False):
    """The same of a spot pair, which FOCSAL does not cover."""


class AllDexsAssetCtxs(Struct, tag_field="channel", tag="allDexsAssetCtxs", gc=False):
    """``allDexsAssetCtxs``: states without names, in the order of ``meta.universe``."""

    data: DexCtxs


class AllMids(Struct, tag_field="channel", tag="allMids", gc=False):
    """``allMids``: no trade, no quote and no mark, so it becomes no event."""


class Candle(Struct, tag_field="channel", tag="candle", gc=False):
    """``candle`` of one coin and interval."""

    data: Bar


class SubscriptionResponse(Struct, tag_field="channel", tag="subscriptionResponse", gc=False):
    """Answer to subscribe and unsubscribe; it has no request number."""

    data: Ack


class Error(Struct, tag_field="channel", tag="error", gc=False):
    """``Invalid subscription {…}``, ``Already subscribed: {…}`` and the like."""

    data: str


class Pong(Struct, tag_field="channel", tag="pong", gc=False):
    """Answer to ``{"method": "ping"}``."""


class Notification(Struct, tag_field="channel", tag="notification", gc=False):
    """A notice of the venue."""


Message: TypeAlias = (
    Trades
    | L2Book
    | Bbo
    | ActiveAssetCtx
    | ActiveSpotAssetCtx
    | AllDexsAssetCtxs
    | AllMids
    | Candle
    | SubscriptionResponse
    | Error
    | Pong
    | Notification
)

KINDS: Final[frozenset[str]] = frozenset(
    {
        "trades",
        "l2Book",
        "bbo",
        "activeAssetCtx",
        "activeSpotAssetCtx",
        "allDexsAssetCtxs",
        "allMids",
        "candle",
        "subscriptionResponse",
        "error",
        "pong",
        "notification",
    }
)
"""Values of ``channel`` that the adapter knows."""

decoder: Final[msgspec.json.Decoder[Message]] = msgspec.json.Decoder(Message, strict=False)
book_decoder: Final = msgspec.json.Decoder(BookBody, strict=False)
any_decoder: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder()


def message_from(document: object) -> Message:
    """A decoded JSON object as its struct; raises ``msgspec.ValidationError``."""
    message: Message = msgspec.convert(document, Message, strict=False)
    return message
