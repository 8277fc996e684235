"""Hub channels: ``trades:BTC``, ``l2Book:BTC``, ``l2Book:BTC:fast``, ``candle:BTC:1m``, ``allMids``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from apps.sandbox.faces.base import StreamEntry
from apps.sandbox.market.candles import INTERVAL_MINUTES

FAST: Final = ":fast"
OF_COIN: Final = ("trades", "l2Book", "bbo", "activeAssetCtx")
OF_ALL: Final = ("allMids", "allDexsAssetCtxs")
INTERVALS: Final = frozenset(INTERVAL_MINUTES) - {"6h"}
_KINDS: Final = {
    "trades": "trade",
    "l2Book": "book",
    "bbo": "quote",
    "activeAssetCtx": "mark",
    "candle": "candle",
}
_FRAME: Final = re.compile(rb'\{\s*"channel":\s*"(\w+)"')
_COIN: Final = re.compile(rb'"(?:coin|s)":\s*"([^"]{1,40})"')
_INTERVAL: Final = re.compile(rb'"i":\s*"(\w{1,4})"')


def channel_name(subscription: Mapping[str, Any], coins: Mapping[str, Any]) -> str | None:
    """The channel of a subscription, None for one that the venue does not have."""
    kind, coin = subscription.get("type"), subscription.get("coin")
    if kind in OF_ALL:
        return str(kind)
    if not isinstance(coin, str) or coin not in coins:
        return None
    if kind == "l2Book" and subscription.get("fast") is True:
        return f"l2Book:{coin}{FAST}"
    if kind in OF_COIN:
        return f"{kind}:{coin}"
    interval = subscription.get("interval")
    return f"candle:{coin}:{interval}" if kind == "candle" and interval in INTERVALS else None


def coin_of(channel: str) -> str:
    """Of a builder's dex it has a colon of its own: ``l2Book:hyna:BTC:fast``."""
    kind, _, rest = channel.partition(":")
    if kind == "candle":
        return rest.rpartition(":")[0]
    return rest.removesuffix(FAST)


def channel_of(frame: bytes) -> str | None:
    """The channel that a recorded frame belongs to; None for control frames.

    A fast book's frames look like the ordinary one's: both count as the latter.
    """
    found = _FRAME.match(frame)
    if found is None:
        return None
    kind = found.group(1).decode()
    if kind in OF_ALL:
        return kind
    coin = _COIN.search(frame)
    if coin is None:
        return None
    name = coin.group(1).decode("utf-8", "replace")
    if kind in OF_COIN:
        return f"{kind}:{name}"
    interval = _INTERVAL.search(frame)
    return f"candle:{name}:{interval.group(1).decode()}" if kind == "candle" and interval else None


def stream_of(channel: str) -> StreamEntry | None:
    """What the adapter calls the channel; it never asks for those of all coins."""
    kind, _, rest = channel.partition(":")
    if kind not in _KINDS or not rest:
        return None
    return StreamEntry("ws", channel, _KINDS[kind], coin_of(channel))
