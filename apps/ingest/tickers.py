"""Prices of one asset on all its venues, for the ticker channel. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.core.clock import iso_utc
from apps.core.jsonout import dumps
from apps.ingest.state import Listing
from apps.marketdata.bookframes import BookEvent
from apps.marketdata.books import BookState, BookSynchroniser


class AssetTicker:
    """Every event is the whole; what is not known is null."""

    def __init__(self, asset: str) -> None:
        self._asset = asset
        self._last: BookEvent | None = None

    def update(
        self, listings: Mapping[str, Listing], books: Mapping[str, BookSynchroniser]
    ) -> BookEvent | None:
        """The ticker by venue; None when it is what it was."""
        venues = {name: _entry(one, books.get(name)) for name, one in listings.items()}
        if not venues:
            return None
        data = dumps({"asset": self._asset, "venues": venues})
        if self._last is not None and data == self._last.data:
            return None
        ts_ms = max(one.state.ts_event_ms or 0 for one in listings.values())
        self._last = BookEvent(data, b"", ts_ms)
        return self._last

    def repeat(self) -> BookEvent | None:
        return self._last


def _entry(listing: Listing, synchroniser: BookSynchroniser | None) -> dict[str, Any]:
    state = listing.state
    bid, ask = state.best_bid, state.best_ask
    if synchroniser is not None and synchroniser.state is BookState.LIVE:
        # Live states copy the book once a second; this is the book.
        bid, ask = synchroniser.book.best_bid, synchroniser.book.best_ask
    return {
        "symbol": state.symbol,
        "last": state.last_price,
        "mark": state.mark_price,
        "index": state.index_price,
        "bid": bid,
        "ask": ask,
        "ts": None if state.ts_event_ms is None else iso_utc(state.ts_event_ms),
    }
