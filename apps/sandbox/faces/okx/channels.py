"""OKX's channels: where each is served, and its name in the hub (``books:BTC-USDT-SWAP``)."""

from __future__ import annotations

from typing import Any, Final

from apps.sandbox.faces.okx.bars import BARS

PUBLIC: Final = "public"
BUSINESS: Final = "business"
LIQUIDATIONS: Final = "liquidation-orders:SWAP"
BOOK: Final = "books"
INDEX: Final = "index-tickers"
_PUBLIC: Final = frozenset(
    {"trades", "tickers", "mark-price", "funding-rate", "open-interest", "books5", "bbo-tbt", BOOK}
)
NEEDS_LOGIN: Final = frozenset({"books-l2-tbt", "books50-l2-tbt"})
"""For logged-in clients of a high fee tier only."""
CANDLES: Final = {f"candle{name}": bar for name, bar in BARS.items()}
_BUSINESS: Final = frozenset({"trades-all", *CANDLES})
KINDS: Final = {
    "trades": "trade",
    "trades-all": "trade",
    "books": "book",
    "books-l2-tbt": "book",
    "books50-l2-tbt": "book",
    "books5": "quote",
    "bbo-tbt": "quote",
    "mark-price": "mark",
    "index-tickers": "mark",
    "funding-rate": "mark",
    "open-interest": "ticker",
    "tickers": "ticker",
    "liquidation-orders": "liquidation",
}


def hub_channel(arg: dict[str, Any]) -> str:
    """The name of any argument, known or not."""
    subject = arg.get("instId") or arg.get("instFamily") or arg.get("instType") or ""
    return f"{arg.get('channel', '')}:{subject}"


def is_served(path: str, arg: dict[str, Any], symbols: set[str], indices: set[str]) -> bool:
    """Whether this path has this channel for this instrument."""
    name, subject = str(arg.get("channel", "")), str(arg.get("instId", ""))
    if path == BUSINESS:
        return name in _BUSINESS and subject in symbols
    if name == INDEX:
        return subject in indices
    if name == "liquidation-orders":
        return arg.get("instType") == "SWAP"
    return name in _PUBLIC and subject in symbols


def connection_of(name: str) -> str:
    """The socket that serves a channel."""
    return BUSINESS if name in _BUSINESS or name.startswith("candle") else PUBLIC


def kind_of(name: str) -> str | None:
    """In the words of ``StreamSpec``; None for what nobody asks for."""
    return "candle" if name in CANDLES else KINDS.get(name)
