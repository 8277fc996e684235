"""What the batches of metrics made of trades have in common: live by messages, in the past by bars."""

from __future__ import annotations

from dataclasses import dataclass

from apps.marketdata.live import LiveBoard, LiveState, SourceStatus
from apps.marketdata.selectors import InstrumentRow
from apps.markets.refresh_batch import Batch
from apps.markets.refresh_funding import LIVE_TOLERANCE_S, STORED_TOLERANCE_S
from apps.markets.refresh_sources import VenueHealth, venue_health


@dataclass(frozen=True, slots=True)
class BarBatch(Batch):
    """``board`` is None in a question about the past; ``sources`` are then of no use."""

    board: LiveBoard | None

    def state(self, row: InstrumentRow) -> LiveState | None:
        return None if self.board is None else self.board.get(row.instrument.key)

    def tolerance_s(self, step_ms: int) -> float:
        """Twice the cadence at which numbers arrive: live frames, or bars of this length."""
        if self.board is not None:
            return LIVE_TOLERANCE_S
        return max(STORED_TOLERANCE_S, 2 * step_ms / 1000)

    def bar_health(
        self, venue: str, row: InstrumentRow | None, closed_ms: int | None, step_ms: int
    ) -> VenueHealth:
        """Live a venue is as fresh as its last message, in the past as the listing's last closed bar
        (``closed_ms``: its end)."""
        if self.board is not None:
            state = None if row is None else self.state(row)
            seen_ms = None if state is None else state.ts_recv_ms
            return self.health(venue, row, seen_ms, LIVE_TOLERANCE_S)
        connected = any(key[0] == venue for key in self.chosen)
        source = SourceStatus(venue=venue, status="ok", last_ok_ms=closed_ms)
        return venue_health(
            venue,
            is_listed=row is not None,
            source=source if connected else None,
            age_s=self.age_s(closed_ms),
            tolerance_s=self.tolerance_s(step_ms),
        )
