"""Order books and their continuity. Pure, no Django, no clock.

:class:`BookSynchroniser` decides which messages may touch an :class:`OrderBook`. What is
a gap differs per venue and is data (:class:`ContinuityRule`), after VENUES, order-book continuity.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from apps.marketdata.events import BookDelta, BookSnapshot
from apps.marketdata.instruments import Instrument
from apps.marketdata.orderbook import OrderBook

__all__ = [
    "BINANCE_SPOT",
    "BINANCE_UM",
    "BYBIT",
    "DERIBIT",
    "HYPERLIQUID",
    "OKX",
    "BookState",
    "BookSynchroniser",
    "ContinuityRule",
    "Link",
    "OrderBook",
    "Outcome",
]

MAX_BUFFERED_DELTAS: Final = 2_000
"""Deltas kept while a snapshot is on its way: over three minutes at 100 ms."""
MAX_OLD_DELTAS: Final = 100
"""This many old deltas in a row mean that the venue restarted its count."""


class BookState(StrEnum):
    """``resyncing`` has no valid book; ``stale`` had one, but its stream is silent or down."""

    LIVE = "live"
    RESYNCING = "resyncing"
    STALE = "stale"


class Outcome(StrEnum):
    """What became of one book message."""

    APPLIED = "applied"
    BUFFERED = "buffered"
    """Kept until the snapshot that was asked for arrives."""
    DROPPED = "dropped"
    """Says nothing that the book does not hold already."""
    GAP = "gap"
    """Continuity broke (or the book crossed): the book is void and a snapshot is needed."""
    NEEDS_SNAPSHOT = "needs_snapshot"
    """Nothing usable to apply to: fetch a (newer) snapshot."""


# Named once: members of an enumeration are slow to look up, and every message asks for these.
_LIVE: Final = BookState.LIVE
_APPLIED: Final = Outcome.APPLIED


class Link(StrEnum):
    """How one delta names the one before it."""

    PREVIOUS = "previous"
    """``prev_seq`` equals the last sequence applied."""
    RANGE = "range"
    """``first_seq`` is at most one past the last sequence applied."""


@dataclass(frozen=True, slots=True)
class ContinuityRule:
    """When deltas join a snapshot and each other, for one venue market.

    ``keeps_equal``: a delta that ends exactly at the snapshot's sequence is the first to apply (Binance
    UM), not the last to drop (Binance spot). ``snapshot_replaces``: snapshots come in the stream and
    always win; otherwise they are fetched, and one that arrives while the book is live is ignored.
    ``may_restart``: the chain alone decides, because sequences repeat (a heartbeat) and fall (the venue
    begins anew). ``drops_older``: every message is a whole book, and one that is older than ours (a
    connection that lags behind) is no news.
    """

    name: str
    link: Link
    keeps_equal: bool
    snapshot_replaces: bool = False
    may_restart: bool = False
    drops_older: bool = False

    def is_in_snapshot(self, delta: BookDelta, seq: int) -> bool:
        return delta.last_seq < seq if self.keeps_equal else delta.last_seq <= seq

    def joins_snapshot(self, delta: BookDelta, seq: int) -> bool:
        """``delta`` is the first after a snapshot of ``seq``, and nothing lies between them."""
        # The snapshot counts as the delta before it, so that a quiet book needs no second fetch.
        return delta.first_seq <= seq <= delta.last_seq or self.follows(delta, seq)

    def follows(self, delta: BookDelta, seq: int) -> bool:
        if self.link is Link.PREVIOUS:
            return delta.prev_seq == seq
        return delta.first_seq <= seq + 1


BINANCE_UM: Final = ContinuityRule("binance_um", Link.PREVIOUS, keeps_equal=True)
BINANCE_SPOT: Final = ContinuityRule("binance_spot", Link.RANGE, keeps_equal=False)
# Each message's number is one past the one before it.
BYBIT: Final = ContinuityRule("bybit", Link.PREVIOUS, keeps_equal=False, snapshot_replaces=True)
OKX: Final = ContinuityRule(
    "okx", Link.PREVIOUS, keeps_equal=False, snapshot_replaces=True, may_restart=True
)
DERIBIT: Final = ContinuityRule("deribit", Link.PREVIOUS, keeps_equal=False, snapshot_replaces=True)
HYPERLIQUID: Final = ContinuityRule(
    "hyperliquid", Link.PREVIOUS, keeps_equal=False, snapshot_replaces=True, drops_older=True
)


class BookSynchroniser:
    """Lets a message touch the book only when nothing is missing before it.

    The caller fetches a snapshot whenever an outcome is ``GAP`` or ``NEEDS_SNAPSHOT``, or when
    :attr:`needs_snapshot` is set, and hands it to :meth:`on_snapshot`. A book is published only while
    :attr:`state` is ``live``.
    """

    def __init__(
        self, instrument: Instrument, rule: ContinuityRule, max_buffered: int = MAX_BUFFERED_DELTAS
    ) -> None:
        self.instrument = instrument
        self.rule = rule
        self._is_by_previous = rule.link is Link.PREVIOUS
        self.book = OrderBook(instrument)
        self.state = BookState.RESYNCING
        self.needs_snapshot = True
        self.reason = "starting"
        self.gap_count = 0
        self.crossed_count = 0
        self.stale_snapshot_count = 0
        self.overflow_count = 0
        self.applied_count = 0
        self._buffer: deque[BookDelta] = deque(maxlen=max_buffered)
        self._asked = False
        self._joining = True
        self._old_in_a_row = 0

    def on_delta(self, delta: BookDelta) -> Outcome:
        if self.needs_snapshot:
            return self._keep(delta)
        seq = self.book.last_seq
        rule = self.rule
        # What nearly every message is: the next one.
        if (delta.last_seq > seq or rule.may_restart) and (
            delta.prev_seq == seq if self._is_by_previous else delta.first_seq <= seq + 1
        ):
            return self._apply(delta)
        if (
            self._joining
            and not rule.is_in_snapshot(delta, seq)
            and rule.joins_snapshot(delta, seq)
        ):
            return self._apply(delta)
        if delta.last_seq <= seq:
            return self._old(delta)
        expected = f"expected a delta after {seq}, received {delta.first_seq}–{delta.last_seq}"
        return self._break(delta, f"{expected} (previous {delta.prev_seq})")

    def on_snapshot(self, snapshot: BookSnapshot) -> Outcome:
        rule = self.rule
        if not (self.needs_snapshot or rule.snapshot_replaces):
            return Outcome.DROPPED
        if rule.drops_older and self._is_overtaken(snapshot):
            return Outcome.DROPPED
        if rule.snapshot_replaces:
            self._buffer.clear()
        self._asked = False
        if self._buffer and self._is_too_old(snapshot):
            return self._want_newer(f"snapshot {snapshot.seq} is older than the stream")
        if self.book.apply_snapshot(snapshot):
            return self._want_newer(f"snapshot {snapshot.seq} is crossed")
        self.needs_snapshot = False
        self._joining = True
        self._old_in_a_row = 0
        if self._buffer and not self._replay_buffer():
            return Outcome.NEEDS_SNAPSHOT
        self._go_live()
        return _APPLIED

    def mark_stale(self, reason: str) -> None:
        """The stream is silent or down. The chain is kept: it goes on if the next delta fits."""
        if self.state is BookState.LIVE:
            self.state = BookState.STALE
            self.reason = reason

    def reset(self, reason: str) -> None:
        """Forget everything; the next delta asks for a snapshot."""
        self._void(reason)
        self._buffer.clear()

    # --- inside -----------------------------------------------------------------------------------

    def _keep(self, delta: BookDelta) -> Outcome:
        if len(self._buffer) == self._buffer.maxlen:
            self.overflow_count += 1
        self._buffer.append(delta)
        if self._asked:
            return Outcome.BUFFERED
        self._asked = True
        return Outcome.NEEDS_SNAPSHOT

    def _apply(self, delta: BookDelta) -> Outcome:
        if self.book.apply_delta(delta):
            return self._crossed(delta)
        self.applied_count += 1
        self._joining = False
        self._old_in_a_row = 0
        if self.state is not _LIVE:
            self._go_live()
        return _APPLIED

    def _crossed(self, delta: BookDelta) -> Outcome:
        self.crossed_count += 1
        return self._break(delta, f"crossed after {delta.last_seq}")

    def _old(self, delta: BookDelta) -> Outcome:
        # Two connections overlap at every planned reconnect, so repeats are ordinary.
        self._old_in_a_row += 1
        if self._old_in_a_row > MAX_OLD_DELTAS:
            return self._break(
                delta, f"{self._old_in_a_row} deltas in a row before {self.book.last_seq}"
            )
        return Outcome.DROPPED

    def _break(self, delta: BookDelta, reason: str) -> Outcome:
        self.gap_count += 1
        self._void(reason)
        self._buffer.clear()
        self._buffer.append(delta)
        self._asked = True
        return Outcome.GAP

    def _void(self, reason: str) -> None:
        self.state = BookState.RESYNCING
        self.needs_snapshot = True
        self.reason = reason
        self._asked = False
        self._old_in_a_row = 0
        self.book.clear()

    def _want_newer(self, reason: str) -> Outcome:
        self.stale_snapshot_count += 1
        self._void(reason)
        self._asked = True
        return Outcome.NEEDS_SNAPSHOT

    def _go_live(self) -> None:
        self.state = BookState.LIVE
        self.reason = ""

    def _is_overtaken(self, snapshot: BookSnapshot) -> bool:
        if self.needs_snapshot or snapshot.seq >= self.book.last_seq:
            return False
        # As with deltas: after so many in a row it is the venue that went back.
        self._old_in_a_row += 1
        return self._old_in_a_row <= MAX_OLD_DELTAS

    def _is_too_old(self, snapshot: BookSnapshot) -> bool:
        """Every buffered delta starts after the snapshot and does not follow it."""
        first = min(self._buffer, key=lambda delta: delta.last_seq)
        return first.first_seq > snapshot.seq and not self.rule.follows(first, snapshot.seq)

    def _replay_buffer(self) -> bool:
        """Apply what was buffered; False when it does not join the snapshot."""
        waiting = sorted(self._buffer, key=lambda delta: delta.last_seq)
        self._buffer.clear()
        for position, delta in enumerate(waiting):
            if self.rule.is_in_snapshot(delta, self.book.last_seq):
                continue
            if self.on_delta(delta) is Outcome.GAP:
                self._buffer.extend(waiting[position + 1 :])
                return False
        return True
