"""Order books as streams tell them: the best levels first, then what changed. Pure, no clock.

A reader keeps for each book two maps from price to quantity and applies every change: a quantity of 0
removes the level, ``reset`` empties the book before. ``aggregated`` adds up the live books of all venues
price by price; venues quote in different dollars, so that it may be crossed by a few basis points.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from apps.core.clock import NS_PER_MS, iso_utc
from apps.core.jsonout import dumps
from apps.marketdata.books import BookState, BookSynchroniser
from apps.marketdata.events import Levels

AGGREGATED: Final = "aggregated"
DEPTH: Final = 50
"""Levels per side of a book that are told."""
PARTIAL: Final = "partial"
_QTY_DIGITS: Final = 8
_Side = dict[float, float]


@dataclass(frozen=True, slots=True)
class BookEvent:
    """``data`` is what changed, ``state`` the whole after it; both JSON."""

    data: bytes
    state: bytes
    ts_ms: int


class _Told:
    """One book as readers have it by now; ``whole`` is its JSON."""

    __slots__ = ("asks", "bids", "state", "whole")

    def __init__(self) -> None:
        self.state = ""
        self.bids: _Side = {}
        self.asks: _Side = {}
        self.whole = b""

    def tell(self, state: str, bids: _Side, asks: _Side, extra: bytes) -> bytes:
        """The change from what was told before, as JSON; ``extra`` are further fields."""
        has_levels = state in (BookState.LIVE, PARTIAL)
        had_levels = self.state in (BookState.LIVE, PARTIAL)
        reset = b"" if has_levels and had_levels else b'"reset":true,'
        changed_bids = _changes(self.bids, bids) if not reset else list(bids.items())
        changed_asks = _changes(self.asks, asks) if not reset else list(asks.items())
        self.state, self.bids, self.asks = state, bids, asks
        head = b'{"state":"%b",%b' % (state.encode(), extra)
        self.whole = b'%b"bids":%b,"asks":%b}' % (
            head,
            _json([*bids.items()]),
            _json([*asks.items()]),
        )
        return b'%b%b"bids":%b,"asks":%b}' % (head, reset, _json(changed_bids), _json(changed_asks))


class _Nearest:
    """The best levels of a side that is asked ten times a second: prices beyond ``_edge`` are not sorted."""

    __slots__ = ("_edge",)

    def __init__(self) -> None:
        self._edge: float | None = None

    def of(self, levels: Mapping[float, float], depth: int, *, is_bid: bool) -> _Side:
        edge = self._edge
        near: list[float] = []
        if edge is not None:
            near = (
                [price for price in levels if price >= edge]
                if is_bid
                else [price for price in levels if price <= edge]
            )
        if not depth <= len(near) <= 4 * depth:
            ordered = sorted(levels, reverse=is_bid)
            self._edge = ordered[2 * depth - 1] if len(ordered) >= 2 * depth else None
            near = ordered
        else:
            near.sort(reverse=is_bid)
        return {price: levels[price] for price in near[:depth]}


class AssetBooks:
    """The books of one asset, as told to whoever listens."""

    def __init__(self, asset: str, depth: int = DEPTH) -> None:
        self._head = b'{"asset":"%b","depth":%d,"books":{' % (asset.encode(), depth)
        self._depth = depth
        self._told: dict[str, _Told] = {}
        self._seen: dict[str, tuple[object, ...]] = {}
        self._nearest: defaultdict[tuple[str, bool], _Nearest] = defaultdict(_Nearest)
        self._ts_ms = 0

    def update(self, books: Mapping[str, BookSynchroniser]) -> BookEvent | None:
        """What changed in these books (by venue) since the last call; None when nothing did."""
        changes: dict[str, bytes] = {}
        for venue, synchroniser in books.items():
            book = synchroniser.book
            seen = (
                synchroniser, synchroniser.state, book.last_seq, book.ts_recv, synchroniser.applied_count,
            )  # fmt: skip
            if self._seen.get(venue) != seen:
                self._seen[venue] = seen
                changes[venue] = self._tell_venue(venue, synchroniser)
        for venue in [one for one in self._seen if one not in books]:
            # Its list no longer names the asset, or its connections are made anew.
            del self._seen[venue]
            changes[venue] = self._of(venue).tell(BookState.STALE.value, {}, {}, b"")
        if not changes:
            return None
        changes[AGGREGATED] = self._tell_aggregated()
        return self._event(changes)

    def repeat(self) -> BookEvent | None:
        """An event that says that nothing changed; None when nothing was ever told."""
        return self._event({}) if self._told else None

    def _event(self, changes: Mapping[str, bytes]) -> BookEvent:
        whole = {name: told.whole for name, told in self._told.items()}
        return BookEvent(self._joined(changes), self._joined(whole), self._ts_ms)

    def _joined(self, parts: Mapping[str, bytes]) -> bytes:
        inside = b",".join([b'"%b":%b' % (name.encode(), part) for name, part in parts.items()])
        return b"%b%b}}" % (self._head, inside)

    def _of(self, name: str) -> _Told:
        return self._told.setdefault(name, _Told())

    def _tell_venue(self, venue: str, synchroniser: BookSynchroniser) -> bytes:
        book, state = synchroniser.book, synchroniser.state
        bids: _Side = {}
        asks: _Side = {}
        if state is BookState.LIVE:
            bids = self._nearest[venue, True].of(book.bids, self._depth, is_bid=True)
            asks = self._nearest[venue, False].of(book.asks, self._depth, is_bid=False)
        ts_ms = book.ts_event // NS_PER_MS
        self._ts_ms = max(self._ts_ms, ts_ms)
        extra = b'"ts":"%b",' % iso_utc(ts_ms).encode() if ts_ms else b""
        return self._of(venue).tell(state.value, bids, asks, extra)

    def _tell_aggregated(self) -> bytes:
        venues = {name: told for name, told in self._told.items() if name != AGGREGATED}
        live = {name: told for name, told in venues.items() if told.state == BookState.LIVE}
        bids = _top(_sum(told.bids for told in live.values()), self._depth, is_bid=True)
        asks = _top(_sum(told.asks for told in live.values()), self._depth, is_bid=False)
        state = BookState.LIVE.value if len(live) == len(venues) else PARTIAL
        extra = b'"venues":%b,' % orjson.dumps(sorted(live))
        return self._of(AGGREGATED).tell(
            state if live else BookState.RESYNCING.value, bids, asks, extra
        )


def _changes(before: _Side, after: _Side) -> Levels:
    changed = [(price, qty) for price, qty in after.items() if before.get(price) != qty]
    return changed + [(price, 0.0) for price in before if price not in after]


def _sum(sides: Iterable[_Side]) -> _Side:
    total: _Side = {}
    for side in sides:
        for price, qty in side.items():
            total[price] = total.get(price, 0.0) + qty
    return total


def _top(side: _Side, depth: int, *, is_bid: bool) -> _Side:
    return {
        price: round(side[price], _QTY_DIGITS) for price in sorted(side, reverse=is_bid)[:depth]
    }


def _json(levels: Levels) -> bytes:
    text = orjson.dumps(levels)
    # Numbers and brackets alone: an "e" is an exponent, which the contract does not have.
    return dumps(levels) if b"e" in text else text


# --- for readers of a channel ------------------------------------------------------------------------


def narrow_books(data: Mapping[str, Any], options: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Only the chosen books; None when none of them is in it."""
    wanted = options.get("exchange")
    if wanted is None:
        return data
    books = {name: book for name, book in data["books"].items() if name in wanted}
    return {**data, "books": books} if books else None


def merge_books(before: bytes, after: bytes) -> bytes:
    """Two changes as one: what a reader that missed the first needs to be where the second leads."""
    first, second = orjson.loads(before), orjson.loads(after)
    books: dict[str, Any] = first["books"]
    for name, book in second["books"].items():
        known = books.get(name)
        if known is None or book.get("reset"):
            books[name] = book
            continue
        merged = {**known, **book}
        for side in ("bids", "asks"):
            levels = dict(map(tuple, known[side])) | dict(map(tuple, book[side]))
            merged[side] = list(levels.items())
        books[name] = merged
    return dumps({**second, "books": books})


class _Shown:
    """One book whole, and the best of it that a reader has by now."""

    __slots__ = ("asks", "bids", "shown_asks", "shown_bids", "state")

    def __init__(self) -> None:
        self.state: Any = None
        self.bids: _Side = {}
        self.asks: _Side = {}
        self.shown_bids: _Side = {}
        self.shown_asks: _Side = {}

    def apply(self, book: Mapping[str, Any], depth: int) -> tuple[Levels, Levels]:
        """Take a change in; what changed of the best."""
        if book.get("reset"):
            self.bids, self.asks = {}, {}
        self.state = book["state"]
        _take(self.bids, book["bids"])
        _take(self.asks, book["asks"])
        before = self.shown_bids, self.shown_asks
        self.shown_bids = _best(self.bids, depth, is_bid=True)
        self.shown_asks = _best(self.asks, depth, is_bid=False)
        return _changes(before[0], self.shown_bids), _changes(before[1], self.shown_asks)

    def whole(self, book: Mapping[str, Any]) -> dict[str, Any]:
        bids, asks = list(self.shown_bids.items()), list(self.shown_asks.items())
        return {**book, "bids": bids, "asks": asks}


class BookView:
    """The best ``depth`` levels of the chosen books, told as changes of their own.

    A change within 50 levels is not one within ten: where a better level goes, the eleventh comes in, of
    which the change says nothing. So whoever narrows a book keeps it whole.
    """

    def __init__(self, depth: int, names: frozenset[str] | None) -> None:
        self._depth = depth
        self._names = names
        self._books: dict[str, _Shown] = {}

    def begin(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """The state's best levels; ``data`` is the whole state."""
        self._books, books = {}, {}
        for name, book in self._chosen(data):
            shown = self._books[name] = _Shown()
            shown.apply(book, self._depth)
            books[name] = shown.whole(book)
        return {**data, "depth": self._depth, "books": books}

    def change(self, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What an update changes of the best levels; None when nothing."""
        books: dict[str, Any] = {}
        for name, book in self._chosen(data):
            shown = self._books.setdefault(name, _Shown())
            state = shown.state
            bids, asks = shown.apply(book, self._depth)
            if book.get("reset"):
                books[name] = shown.whole(book)
            elif bids or asks or state != shown.state:
                books[name] = {**book, "bids": bids, "asks": asks}
        return {**data, "depth": self._depth, "books": books} if books else None

    def _chosen(self, data: Mapping[str, Any]) -> list[tuple[str, Any]]:
        names = self._names
        return [(k, book) for k, book in data["books"].items() if names is None or k in names]


def whole_as_change(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """A whole state as an update: books are emptied before it is applied."""
    books = {name: {**book, "reset": True} for name, book in data["books"].items()}
    return {**data, "books": books}


def _take(side: _Side, levels: Levels) -> None:
    for price, qty in levels:
        if qty:
            side[price] = qty
        else:
            side.pop(price, None)


def _best(side: _Side, depth: int, *, is_bid: bool) -> _Side:
    return {price: side[price] for price in sorted(side, reverse=is_bid)[:depth]}
