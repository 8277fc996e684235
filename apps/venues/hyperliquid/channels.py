"""Names for Hyperliquid's subscriptions, which are objects: ``trades:BTC``, ``candle:BTC:1m``. Pure.

A fast book is ``l2Book:BTC:fast``; its frames look like those of the ordinary one, so a connection may
carry one of the two per coin.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

FAST: Final = ":fast"
_START: Final = b'{"channel":"'
_COIN: Final = b'"coin":"'
_SYMBOL: Final = b'"s":"'
_INTERVAL: Final = b'"i":"'
_NEAR: Final = 400
"""Bytes in which a frame has named its coin, whatever the order of its fields."""
OF_ALL: Final = frozenset({"allMids", "allDexsAssetCtxs"})
_OF_COIN: Final = frozenset({"trades", "l2Book", "bbo", "activeAssetCtx", "activeSpotAssetCtx"})


def channel_name(subscription: Mapping[str, Any]) -> str:
    """
    >>> channel_name({"type": "candle", "coin": "BTC", "interval": "1m"})
    'candle:BTC:1m'
    >>> channel_name({"type": "l2Book", "coin": "kPEPE", "nSigFigs": None, "fast": True})
    'l2Book:kPEPE:fast'
    """
    kind = str(subscription.get("type", ""))
    parts = [
        kind,
        *(str(subscription[key]) for key in ("coin", "interval") if subscription.get(key)),
    ]
    name = ":".join(parts)
    return name + FAST if kind == "l2Book" and subscription.get("fast") is True else name


def subscription_of(name: str) -> dict[str, Any]:
    """The object that asks for a channel.

    >>> subscription_of("l2Book:kPEPE:fast")
    {'type': 'l2Book', 'coin': 'kPEPE', 'fast': True}
    """
    kind, *rest = name.removesuffix(FAST).split(":")
    subscription: dict[str, Any] = {"type": kind}
    if rest:
        subscription["coin"] = rest[0]
    if kind == "candle" and len(rest) > 1:
        subscription["interval"] = rest[1]
    if name.endswith(FAST):
        subscription["fast"] = True
    return subscription


def channel_of(frame: bytes) -> str | None:
    """Channel of a data frame, read without decoding it; None for other frames."""
    if not frame.startswith(_START):
        return None
    end = frame.find(b'"', len(_START), 60)
    kind = frame[len(_START) : max(end, 0)].decode("ascii", "replace")
    if kind in OF_ALL:
        return kind
    if kind in _OF_COIN:
        coin = _text_after(frame, _COIN)
        return f"{kind}:{coin}" if coin else None
    if kind == "candle":
        coin, interval = _text_after(frame, _SYMBOL), _text_after(frame, _INTERVAL)
        return f"candle:{coin}:{interval}" if coin and interval else None
    return None


def _text_after(frame: bytes, key: bytes) -> str:
    at = frame.find(key, 0, _NEAR)
    if at < 0:
        return ""
    start = at + len(key)
    end = frame.find(b'"', start, start + 60)
    return frame[start : max(end, start)].decode("ascii", "replace")
