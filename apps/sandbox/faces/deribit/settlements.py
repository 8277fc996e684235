"""What was settled at 08:00: perpetuals each day, options when they expire; and the prices used."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import numpy as np

from apps.sandbox.faces.deribit.errors import invalid
from apps.sandbox.faces.deribit.futures import FutureDesk
from apps.sandbox.faces.deribit.option_desk import OptionDesk
from apps.sandbox.faces.deribit.source import Json
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.options.terms import board_day, board_start_ms

DAYS_KEPT: Final = 30
DELIVERIES_KEPT: Final = 365
TYPES: Final = ("settlement", "delivery", "bankruptcy")


class Settlements:
    """History is kept for a month, delivery prices for a year."""

    def __init__(self, futures: FutureDesk, options: OptionDesk) -> None:
        self._futures = futures
        self._options = options

    def delivery_prices(self, index_name: str, offset: int, count: int) -> Json:
        """Daily, newest first."""
        options = self._options.of_index(index_name)
        if options is None:
            raise invalid("index_name", "unsupported index_name")
        today = board_day(self._futures.now_ms())
        days = range(today - offset, max(today - DELIVERIES_KEPT, today - offset - count), -1)
        rows = [
            {
                "date": datetime.fromtimestamp(board_start_ms(day) / 1000, tz=UTC)
                .date()
                .isoformat(),
                "delivery_price": options.delivery_price(board_start_ms(day)),
            }
            for day in days
        ]
        return {"data": rows, "records_total": DELIVERIES_KEPT}

    def page(
        self,
        listings: list[Listing],
        currency: str,
        kinds: tuple[str, ...],
        name: str | None,
        before_ms: int,
        skip: int,
        count: int,
    ) -> tuple[list[Json], tuple[int, int] | None]:
        """Newest first; and where the next page begins: (time, rows of it to skip)."""
        rows: list[Json] = []
        now = self._futures.now_ms()
        newest, oldest = board_day(min(before_ms, now)), board_day(now) - DAYS_KEPT
        for day in range(newest, oldest, -1):
            own = self._of_day(listings, currency, kinds, day)
            own = [row for row in own if name in (None, row["instrument_name"])][skip:]
            if len(rows) + len(own) > count:
                taken = count - len(rows)
                return rows + own[:taken], (board_start_ms(day), skip + taken)
            rows += own
            skip = 0
        return rows, None

    def _of_day(
        self, listings: list[Listing], currency: str, kinds: tuple[str, ...], day: int
    ) -> list[Json]:
        rows: list[Json] = []
        if "settlement" in kinds:
            rows += [self._settled(one, day) for one in listings if one.is_perp]
        if "delivery" in kinds:
            rows += self._delivered(currency, day)
        return rows

    def _settled(self, listing: Listing, day: int) -> Json:
        """A perpetual's: what was earned since the settlement before, and the funding in it."""
        at_ms = board_start_ms(day)
        state = self._futures.market.mark_state(listing, at_ms)
        before = self._futures.market.mark_state(listing, board_start_ms(day - 1))
        position = self._futures.open_interest(listing, state.mark_price)
        change = state.mark_price / before.mark_price - 1.0
        paid = self._futures.market.settlements(listing, board_start_ms(day - 1) + 1, at_ms)
        coins = position / state.mark_price if listing.is_inverse else position
        return {
            "type": "settlement",
            "timestamp": at_ms,
            "instrument_name": listing.symbol,
            "index_price": round(state.index_price, 4),
            "mark_price": round(state.mark_price, 4),
            "position": position,
            "session_profit_loss": round(coins * change, 6),
            "profit_loss": round(coins * change, 6),
            "funding": round(coins * sum(one.rate for one in paid), 6),
        }

    def _delivered(self, currency: str, day: int) -> list[Json]:
        """Options that expired on a day's morning, by what they paid."""
        at_ms = board_start_ms(day)
        rows: list[Json] = []
        for options in self._options.of_currency(currency):
            board = options.boards.of_day(day - 1)
            chosen = np.flatnonzero(board.expiry_ms == at_ms)
            if not len(chosen):
                continue
            price = options.delivery_price(at_ms)
            interest = options.open_interest(at_ms - 1)
            for at in chosen.tolist():
                contract = board.contracts[at]
                gain = price - contract.strike if contract.is_call else contract.strike - price
                paid = max(gain, 0.0) / (price if options.terms.is_inverse else 1.0)
                position = round(float(interest[at]), 4)
                rows.append(
                    {
                        "type": "delivery",
                        "timestamp": at_ms,
                        "instrument_name": contract.symbol,
                        "index_price": price,
                        "mark_price": round(paid, 8),
                        "position": position,
                        "session_profit_loss": round(position * paid, 6),
                        "profit_loss": round(position * paid, 6),
                    }
                )
        return rows
