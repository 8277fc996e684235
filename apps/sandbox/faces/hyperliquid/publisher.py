"""Turns market time into stream messages: everything that fell due since the last tick, in batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from apps.sandbox.faces.hub import Hub
from apps.sandbox.faces.hyperliquid.info import all_mids
from apps.sandbox.faces.hyperliquid.listings import BUILDER_DEX
from apps.sandbox.faces.hyperliquid.names import FAST, coin_of
from apps.sandbox.faces.hyperliquid.source import BOOK_LEVELS, FAST_LEVELS, ModelSource, states
from apps.sandbox.faces.publishing import TickingPublisher
from apps.sandbox.faces.trades import TradeCursor
from apps.sandbox.market.listing import Listing

BACKLOG: Final = 30
# Each channel's rhythm; coins take their turns, so that no tick has all of them.
_EVERY_MS: Final = {
    "l2Book": 5_000,
    "fast": 500,
    "bbo": 500,
    "activeAssetCtx": 3_000,
    "candle": 1_000,
    "allMids": 2_000,
    "allDexsAssetCtxs": 3_000,
}


def frame(channel: str, data: object) -> bytes:
    return b'{"channel":"%b","data":%b}' % (channel.encode(), orjson.dumps(data))


@dataclass(slots=True)
class Feed:
    """Where one coin's streams have got to."""

    listing: Listing
    shift_ms: int
    trades: TradeCursor = field(default_factory=TradeCursor)
    slots: dict[str, int] = field(default_factory=dict)
    last: dict[str, object] = field(default_factory=dict)


class Publisher(TickingPublisher):
    """Streams of the face's coins."""

    tick_s = 0.1

    def __init__(self, source: ModelSource, hub: Hub, now_ms: Callable[[], int]) -> None:
        super().__init__(hub, now_ms)
        self._source = source
        every = (*source.listings, *source.builders)
        count = len(every) or 1
        self._feeds = {
            one.symbol: Feed(one, index * 5_000 // count) for index, one in enumerate(every)
        }
        self._all = Feed(source.listings[0], 0) if source.listings else None
        self._wanted: list[tuple[str, str, Feed]] = []
        """(channel, its rhythm, its feed)."""

    def _go_on_from_now(self) -> None:
        for feed in self._feeds.values():
            feed.trades.restart()

    def _publish(self, now_ms: int) -> None:
        for channel, rhythm, feed in self._wanted:
            if rhythm == "trades":
                self._publish_trades(channel, feed, now_ms)
            elif self._is_due(channel, rhythm, feed, now_ms):
                data = self._data(channel, rhythm, feed)
                if data is not None:
                    self._hub.publish(channel, data)

    def first_frames(self, channel: str) -> list[bytes]:
        """What a new subscriber is sent at once: the state, or a backlog of trades."""
        self._bring_up()
        for name, rhythm, feed in self._wanted:
            if name == channel:
                if rhythm == "trades":
                    # The stream goes on after the backlog.
                    self._publish_trades(
                        channel, feed, self._now_ms(), to_all=feed.trades.minute >= 0
                    )
                    return [frame("trades", self._source.trades(feed.listing, BACKLOG))]
                feed.last.pop(channel, None)
                data = self._data(channel, rhythm, feed)
                return [] if data is None else [data]
        return []

    # --- inside -------------------------------------------------------------------------------------

    def _replan(self) -> None:
        self._wanted = []
        for channel in sorted(self._hub.channels()):
            kind, _, rest = channel.partition(":")
            feed = self._feeds.get(coin_of(channel)) if rest else self._all
            if feed is not None:
                rhythm = "fast" if channel.endswith(FAST) else kind
                self._wanted.append((channel, rhythm, feed))
        reading = {feed.listing.symbol for _, rhythm, feed in self._wanted if rhythm == "trades"}
        for symbol, feed in self._feeds.items():
            if symbol not in reading:
                feed.trades.restart()

    def _is_due(self, channel: str, rhythm: str, feed: Feed, now_ms: int) -> bool:
        slot = (now_ms + feed.shift_ms) // _EVERY_MS[rhythm]
        if feed.slots.get(channel) == slot:
            return False
        feed.slots[channel] = slot
        return True

    def _data(self, channel: str, rhythm: str, feed: Feed) -> bytes | None:
        source, listing = self._source, feed.listing
        if rhythm in ("l2Book", "fast"):
            levels = FAST_LEVELS if rhythm == "fast" else BOOK_LEVELS
            return frame("l2Book", source.book_rows(listing, source.book_now(listing), levels))
        if rhythm == "activeAssetCtx":
            return frame(rhythm, {"coin": listing.symbol, "ctx": source.ctx(listing)})
        if rhythm == "allMids":
            return frame(rhythm, {"mids": all_mids(source, source.listings)})
        if rhythm == "allDexsAssetCtxs":
            dexes = [["", states(source, source.listings)]]
            if source.builders:
                dexes.append([BUILDER_DEX, states(source, source.builders)])
            return frame(rhythm, {"ctxs": dexes})
        changed = self._quote(listing) if rhythm == "bbo" else self._candle(channel, listing)
        if changed is None or feed.last.get(channel) == changed[0]:
            return None
        feed.last[channel] = changed[0]
        return frame(rhythm, changed[1])

    def _quote(self, listing: Listing) -> tuple[object, dict[str, Any]]:
        rows = self._source.book_rows(listing, self._source.book_now(listing), 1)
        best = [side[0] if side else None for side in rows["levels"]]
        return best, {"coin": listing.symbol, "time": rows["time"], "bbo": best}

    def _candle(self, channel: str, listing: Listing) -> tuple[object, dict[str, Any]] | None:
        now_ms = self._now_ms()
        interval = channel.rpartition(":")[2]
        rows = self._source.candles(listing, interval, now_ms - 8 * 86_400_000, now_ms)[-1:]
        return (rows[0], rows[0]) if rows else None

    def _publish_trades(
        self, channel: str, feed: Feed, now_ms: int, *, to_all: bool = True
    ) -> None:
        """Trades since the last tick in one message; a feed that begins starts from now."""
        market, listing = self._source.market, feed.listing
        rows: list[dict[str, Any]] = [
            self._source.trade(listing, minute, at)
            for minute, _, due in feed.trades.due(market, listing, now_ms)
            for at in due
        ]
        if rows and to_all:
            self._hub.publish(channel, frame("trades", rows))
