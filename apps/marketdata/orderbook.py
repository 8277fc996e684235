"""The levels of one order book, fast to change and to read at the top. Pure, no Django, no clock."""

from __future__ import annotations

from heapq import heappop, heappush, nlargest, nsmallest
from typing import Final

from apps.marketdata.events import BookDelta, BookSnapshot, Levels
from apps.marketdata.instruments import Instrument

_FAR: Final = float("inf")
NEAR_LEVELS: Final = 16
"""Prices per side that are kept ready as candidates for the best one, when the heap is made."""
_FEW_LEVELS: Final = 128
"""Up to so many, sorting them all is quicker than picking the best ones."""
MAX_NEAR: Final = 32 * NEAR_LEVELS
"""Removed prices stay in the heap until it has grown to this size."""


class _Side:
    """Sizes by price, and which price is best.

    ``bound`` is at least as good as the best price: removals leave it behind, :meth:`best` moves it up.
    ``_near`` is a heap of the prices nearest to the market: every price better than ``_edge`` is in it,
    once or more, and prices that were removed stay until they come up. So a level costs one comparison
    and the best price needs no search through a book of thousands. ``_sign`` is -1 for bids: heaps have
    their smallest element first.
    """

    __slots__ = ("_edge", "_near", "_sign", "bound", "levels")

    def __init__(self, sign: float) -> None:
        self.levels: dict[float, float] = {}
        self._sign = sign
        self._near: list[float] = []
        # Every price of an empty side is nearer than this.
        self._edge = self.bound = sign * _FAR

    def replace(self, levels: Levels) -> None:
        found = dict(levels)
        if 0.0 in found.values():
            found = {price: qty for price, qty in found.items() if qty}
        self.levels = found
        if found:
            # The heap begins with the best alone: books that come whole each time never need more.
            best = max(found) if self._sign < 0 else min(found)
            self._edge = self.bound = best
            self._near = [best * self._sign]
        else:
            self._edge = self.bound = self._sign * _FAR
            self._near = []

    def update(self, changes: Levels) -> None:
        """Set sizes. The hot path: one plain loop per side."""
        raise NotImplementedError

    def best(self) -> float | None:
        near, levels, sign = self._near, self.levels, self._sign
        while near:
            price = near[0] * sign
            if price in levels:
                self.bound = price
                return price
            heappop(near)
        self._rebuild()
        return self.bound if levels else None

    def top(self, count: int) -> Levels:
        """The ``count`` best levels, best first."""
        if count * 8 >= len(self.levels):
            return sorted(self.levels.items(), reverse=self._sign < 0)[:count]
        pick = nlargest if self._sign < 0 else nsmallest
        return pick(count, self.levels.items())

    def _rebuild(self) -> None:
        """Start the heap anew with the best prices; the edge is the worst of them."""
        if len(self.levels) <= _FEW_LEVELS:
            nearest = sorted(self.levels, reverse=self._sign < 0)[:NEAR_LEVELS]
        else:
            pick = nlargest if self._sign < 0 else nsmallest
            nearest = pick(NEAR_LEVELS, self.levels)
        # An ordered list is a heap.
        self._near = [price * self._sign for price in nearest]
        is_whole_side = len(nearest) < NEAR_LEVELS
        self._edge = self._sign * _FAR if is_whole_side else nearest[-1]
        self.bound = nearest[0] if nearest else self._sign * _FAR


class _Bids(_Side):
    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(-1.0)

    def update(self, changes: Levels) -> None:
        levels, edge, near = self.levels, self._edge, self._near
        for price, qty in changes:
            if qty:
                if price > edge and price not in levels:
                    heappush(near, -price)
                    if price > self.bound:
                        self.bound = price
                levels[price] = qty
            elif price in levels:
                del levels[price]
        if len(near) > MAX_NEAR:
            self._rebuild()


class _Asks(_Side):
    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(1.0)

    def update(self, changes: Levels) -> None:
        levels, edge, near = self.levels, self._edge, self._near
        for price, qty in changes:
            if qty:
                if price < edge and price not in levels:
                    heappush(near, price)
                    if price < self.bound:
                        self.bound = price
                levels[price] = qty
            elif price in levels:
                del levels[price]
        if len(near) > MAX_NEAR:
            self._rebuild()


class OrderBook:
    """Absolute sizes by price. Applying is raw: continuity is the synchroniser's concern."""

    __slots__ = ("_asks", "_bids", "instrument", "last_seq", "ts_event", "ts_recv")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._bids = _Bids()
        self._asks = _Asks()
        self.last_seq = -1
        self.ts_event = 0
        self.ts_recv = 0

    @property
    def bids(self) -> dict[float, float]:
        return self._bids.levels

    @property
    def asks(self) -> dict[float, float]:
        return self._asks.levels

    def clear(self) -> None:
        self._bids.replace([])
        self._asks.replace([])
        self.last_seq = -1

    def apply_snapshot(self, snapshot: BookSnapshot) -> bool:
        """Replace the whole book. Whether it is crossed then."""
        self._bids.replace(snapshot.bids)
        self._asks.replace(snapshot.asks)
        self.last_seq = snapshot.seq
        self.ts_event = snapshot.ts_event
        self.ts_recv = snapshot.ts_recv
        # Bounds of new sides are their best prices.
        return self._bids.bound >= self._asks.bound

    def apply_delta(self, delta: BookDelta) -> bool:
        """Set the levels of ``delta``; a size of 0 removes the level. Whether the book is crossed then."""
        bids, asks = self._bids, self._asks
        if delta.bids:
            bids.update(delta.bids)
        if delta.asks:
            asks.update(delta.asks)
        self.last_seq = delta.last_seq
        self.ts_event = delta.ts_event
        self.ts_recv = delta.ts_recv
        return bids.bound >= asks.bound and self.is_crossed

    @property
    def best_bid(self) -> float | None:
        return self._bids.best()

    @property
    def best_ask(self) -> float | None:
        return self._asks.best()

    @property
    def is_crossed(self) -> bool:
        """Best bid at or above best ask: no such book exists at a venue that matches continuously."""
        if self._bids.bound < self._asks.bound:
            return False
        bid, ask = self._bids.best(), self._asks.best()
        return bid is not None and ask is not None and bid >= ask

    def top(self, levels: int) -> tuple[Levels, Levels]:
        """The best ``levels`` of each side: bids from the highest, asks from the lowest price."""
        return self._bids.top(levels), self._asks.top(levels)
