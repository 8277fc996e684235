"""Trades that fell due, listing by listing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from apps.sandbox.market.listing import Listing
from apps.sandbox.market.protocol import MINUTE_MS, Market, Tape


@dataclass(slots=True)
class TradeCursor:
    """Where one listing's trades have got to; ``minute`` is -1 while they are nobody's."""

    minute: int = -1
    next_trade: int = 0

    def restart(self) -> None:
        """The next trades are those that follow the next look."""
        self.minute = -1

    def due(
        self, market: Market, listing: Listing, now_ms: int
    ) -> Iterator[tuple[int, Tape, range]]:
        """Minutes since the last look, each with its tape and the positions that are due; to be read to
        its end."""
        current = now_ms // MINUTE_MS
        is_new = self.minute < 0
        if is_new:
            self.minute = current
        while True:
            tape = market.tape(listing, self.minute)
            end = int(tape.time_ms.searchsorted(now_ms, side="right"))
            # Whoever begins begins now; a clock that goes back repeats nothing.
            begin = end if is_new else self.next_trade
            self.next_trade = max(begin, end)
            yield self.minute, tape, range(begin, end)
            if self.minute >= current:
                return
            self.minute, self.next_trade = self.minute + 1, 0
