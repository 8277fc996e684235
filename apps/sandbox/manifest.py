"""What the control face says of streams and instruments, for clients to plan from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from apps.sandbox.faces.binance.session import MARKET, PUBLIC, SPOT, is_book_channel
from apps.sandbox.market.listing import Listing

_KINDS: Final = (
    ("@aggTrade", "trade"),
    ("@trade", "trade"),
    ("@depth", "book"),
    ("bookTicker", "quote"),
    ("markPrice", "mark"),
    ("forceOrder", "liquidation"),
    ("icker", "ticker"),
    ("@kline", "candle"),
)


def stream_kind(channel: str) -> str:
    """trade, book, quote, mark, liquidation, ticker or candle; "" for anything else."""
    return next((kind for word, kind in _KINDS if word in channel), "")


def stream_entry(channel: str, *, is_spot: bool) -> dict[str, Any]:
    symbol = channel.partition("@")[0].upper()
    connection = SPOT if is_spot else PUBLIC if is_book_channel(channel) else MARKET
    return {
        "venue": "binance",
        "connection": connection,
        "channel": channel,
        "kind": stream_kind(channel),
        "symbol": "" if symbol.startswith("!") else symbol,
    }


def instrument_entry(listing: Listing) -> dict[str, Any]:
    """The fields of ``marketdata.instruments.Instrument``."""
    return {
        "venue": listing.venue,
        "symbol": listing.symbol,
        "asset": listing.asset,
        "kind": listing.kind,
        "quote": listing.quote,
        "price_mult": listing.price_mult,
        "contract_size": 1.0,
        "is_inverse": False,
        "tick_size": listing.tick,
        "lot_size": listing.lot,
        "funding_interval_h": listing.funding_interval_h,
    }


def model_streams(listings: Iterable[Listing]) -> list[dict[str, Any]]:
    """The streams a client of the sandbox would want; others are served as well."""
    out = []
    for listing in listings:
        symbol = listing.symbol.lower()
        kinds = ["aggTrade", "depth@100ms", "bookTicker"]
        if listing.is_perp:
            kinds += ["markPrice@1s", "forceOrder"]
        out += [stream_entry(f"{symbol}@{kind}", is_spot=not listing.is_perp) for kind in kinds]
    return out
