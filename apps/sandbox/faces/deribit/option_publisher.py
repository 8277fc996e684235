"""Streams of options: what changed since the second before, for the channels that someone reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson

from apps.sandbox.faces.deribit.channels import Channel, TickerChanges, frame
from apps.sandbox.faces.deribit.option_desk import Found, OptionDesk
from apps.sandbox.faces.deribit.option_trades import combo_rows, trade_rows
from apps.sandbox.faces.deribit.source import Json
from apps.sandbox.faces.hub import Hub
from apps.sandbox.market.options.market import AssetOptions
from apps.sandbox.market.options.terms import board_day

_SECOND_MS: Final = 1_000
_MARKS_EVERY_S: Final = 2
_LONGEST_CATCH_UP_MS: Final = 10_000
_OPTIONS: Final = ("option", "any")
_COMBOS: Final = ("option_combo", "combo", "any")
_Levels = tuple[dict[float, float], dict[float, float]]


class OptionPublisher:
    """Told of every tick by the face's publisher. Prints come when they happen, the rest by the second."""

    def __init__(self, desk: OptionDesk, hub: Hub) -> None:
        self._desk = desk
        self._hub = hub
        self._channels: list[Channel] = []
        self._trades: list[Channel] = []
        self._books: dict[str, tuple[int, _Levels]] = {}
        """The last book told on each book channel: the next message continues it."""
        self._quotes: dict[str, tuple[float, ...]] = {}
        self._changes = TickerChanges()
        self._second = -1
        self._told_ms = -1
        self._day = -1

    def plan(self, channels: Iterable[Channel]) -> None:
        """What is read from now on."""
        every = sorted(channels, key=lambda one: one.channel)
        trades = [one for one in every if self._has_trades(one)]
        if trades and not self._trades:
            self._told_ms = -1
        self._trades = trades
        self._channels = [one for one in every if one.family in _SECOND_FAMILIES]
        wanted = {one.channel for one in self._channels}
        self._books = {name: book for name, book in self._books.items() if name in wanted}
        self._changes.keep(wanted)

    def _has_trades(self, channel: Channel) -> bool:
        if channel.family == "all trades":
            return channel.kind in (*_OPTIONS, *_COMBOS)
        return channel.family == "trades" and self._desk.find(channel.name) is not None

    def tick(self, now_ms: int) -> None:
        if self._trades:
            self._publish_trades(now_ms)
        second = now_ms // _SECOND_MS
        if second == self._second:
            return
        self._second = second
        self._publish_states(now_ms)
        for channel in self._channels:
            self._publish(channel, second)

    # --- trades ---------------------------------------------------------------------------------------

    def _publish_trades(self, now_ms: int) -> None:
        start = self._told_ms + 1
        if self._told_ms < 0 or now_ms - self._told_ms > _LONGEST_CATCH_UP_MS:
            start = now_ms
        self._told_ms = now_ms
        for options in self._desk.assets.values():
            readers = [one for one in self._trades if _covers(one, options)]
            if readers:
                self._publish_asset(options, readers, start, now_ms)

    def _publish_asset(
        self, options: AssetOptions, readers: list[Channel], start_ms: int, now_ms: int
    ) -> None:
        rows: list[Json] = []
        for board, part in options.prints_between(start_ms, now_ms + 1):
            rows += trade_rows(options, board, part)
        if not rows:
            return
        combos = combo_rows(rows)
        for channel in readers:
            own: list[Json] = []
            if channel.family == "trades":
                own = [row for row in rows if row["instrument_name"] == channel.name]
            elif channel.kind in _OPTIONS:
                own += rows
            if channel.family == "all trades" and channel.kind in _COMBOS:
                own = own + combos
            if own:
                self._send(channel, own)

    # --- by the second --------------------------------------------------------------------------------

    def _publish(self, channel: Channel, second: int) -> None:
        if channel.family == "marks":
            options = self._desk.of_index(channel.name)
            if options is not None and second % _MARKS_EVERY_S == 0:
                self._hub.publish(
                    channel.channel, frame(channel.channel, self._desk.marks(options))
                )
        elif channel.family == "dvol":
            level = self._desk.volatility(channel.name)
            if level is not None:
                at = self._desk.second_ms()
                self._send(
                    channel, {"timestamp": at, "volatility": level, "index_name": channel.name}
                )
        else:
            found = self._desk.find(channel.name)
            if found is not None:
                self._publish_one(channel, found)

    def _publish_one(self, channel: Channel, found: Found) -> None:
        """A channel of one option."""
        if channel.family == "ticker":
            self._send(channel, self._desk.ticker(channel.name))
        elif channel.family == "changes of ticker":
            ticker = self._desk.ticker(channel.name)
            self._send(channel, self._changes.change(channel.channel, ticker))
        elif channel.family == "quote":
            self._publish_quote(channel, found)
        elif channel.family == "grouped book":
            at, (bids, asks) = self._desk.second_ms(), self._desk.sides(found)
            data: Json = {"timestamp": at, "instrument_name": channel.name, "change_id": at}
            for name, side in (("bids", bids), ("asks", asks)):
                data[name] = [list(one) for one in list(side.items())[: channel.depth]]
            self._send(channel, data)
        else:
            self._publish_changes(channel, found)

    def _publish_quote(self, channel: Channel, found: Found) -> None:
        at, (bids, asks) = self._desk.second_ms(), self._desk.sides(found)
        bid = next(iter(bids.items()), (0.0, 0.0))
        ask = next(iter(asks.items()), (0.0, 0.0))
        if self._quotes.get(channel.channel) == (*bid, *ask):
            return
        self._quotes[channel.channel] = (*bid, *ask)
        self._send(
            channel,
            {
                "timestamp": at,
                "instrument_name": channel.name,
                "best_bid_price": bid[0] or None,
                "best_bid_amount": bid[1],
                "best_ask_price": ask[0] or None,
                "best_ask_amount": ask[1],
            },
        )

    def _publish_changes(self, channel: Channel, found: Found) -> None:
        at, levels = self._desk.second_ms(), self._desk.sides(found)
        known = self._books.get(channel.channel)
        if known is None or known[0] >= at:
            return
        self._books[channel.channel] = at, levels
        data: Json = {
            "type": "change",
            "timestamp": at,
            "prev_change_id": known[0],
            "instrument_name": channel.name,
            "change_id": at,
        }
        for name, old, new in zip(("bids", "asks"), known[1], levels, strict=True):
            data[name] = _changes(old, new)
        self._send(channel, data)

    def first_frames(self, channel: Channel) -> list[bytes]:
        """A book, or a ticker, from its beginning."""
        found = self._desk.find(channel.name)
        if found is None:
            return []
        if channel.family == "changes of ticker":
            ticker = self._changes.whole(channel.channel, lambda: self._desk.ticker(channel.name))
            return [frame(channel.channel, orjson.dumps(ticker))]
        known = self._books.get(channel.channel)
        if known is None:
            known = self._desk.second_ms(), self._desk.sides(found)
            self._books[channel.channel] = known
        at, (bids, asks) = known
        data = {
            "type": "snapshot",
            "timestamp": at,
            "instrument_name": channel.name,
            "change_id": at,
            "bids": [["new", *one] for one in bids.items()],
            "asks": [["new", *one] for one in asks.items()],
        }
        return [frame(channel.channel, orjson.dumps(data))]

    # --- listings -------------------------------------------------------------------------------------

    def _publish_states(self, now_ms: int) -> None:
        """At 08:00 what has expired is settled and closed, what is new is created and started."""
        day = board_day(now_ms)
        before, self._day = self._day, day
        if before in (-1, day):
            return
        readers = [one for one in self._channels if one.family == "state"]
        for options in self._desk.assets.values():
            own = [one for one in readers if _covers(one, options)]
            if not own:
                continue
            old, new = (options.boards.of_day(one) for one in (before, day))
            told = [(name, ("settled", "closed")) for name in old.place if name not in new.place]
            told += [(name, ("created", "started")) for name in new.place if name not in old.place]
            for name, states in told:
                for state in states:
                    row = {"timestamp": now_ms, "state": state, "instrument_name": name}
                    for channel in own:
                        self._send(channel, row)

    def _send(self, channel: Channel, data: Any) -> None:
        body = orjson.dumps(data)
        self._hub.publish(channel.channel, frame(channel.channel, body))


_SECOND_FAMILIES: Final = (
    "marks",
    "dvol",
    "ticker",
    "changes of ticker",
    "quote",
    "book",
    "grouped book",
    "state",
)


def _covers(channel: Channel, options: AssetOptions) -> bool:
    if channel.family in ("all trades", "state"):
        wanted = (*_OPTIONS, *_COMBOS) if channel.family == "all trades" else _OPTIONS
        return channel.kind in wanted and channel.name in ("any", options.terms.currency)
    return channel.name.partition("-")[0] == options.terms.prefix


def _changes(old: dict[float, float], new: dict[float, float]) -> list[list[str | float]]:
    """Levels that differ, as [new | change | delete, price, amount]."""
    rows: list[list[str | float]] = [
        ["change" if price in old else "new", price, amount]
        for price, amount in new.items()
        if old.get(price) != amount
    ]
    return rows + [["delete", price, 0.0] for price in old if price not in new]
