"""Pages of history: keyset on the row's ``ts``, so that concurrent inserts neither shift nor repeat rows.

A page is planned first (which slots hold rows), then computed in blocks, so that a streamed answer never
holds more than one block in memory while its ``next_cursor`` is already known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.selectors import InstrumentRow
from apps.marketdata.venues import all_venues
from apps.markets.queries import HistoryQuery
from apps.markets.refresh_sources import main_listings

Row: TypeAlias = dict[str, Any]
SlotFinder: TypeAlias = Callable[[int, int], list[int]]
"""``(start_ms, end_ms) -> slot openings that hold rows``, ascending."""

SlotReader: TypeAlias = Callable[[Sequence[int], int, int, int, int | None], list[int]]
"""``(listing ids, interval_ms, start_ms, end_ms, as_of_ms) -> slot openings that hold rows``."""

# A block spans at most this much stored time, so that minute bars of it fit in memory easily.
_BLOCK_SPAN_MS: Final = 28 * 86_400_000
_BLOCK_ROWS: Final = 500
# Planning looks at this many slots first, then at ever longer ranges while they are empty.
_FIRST_LOOK_SLOTS: Final = 600


class RowPage(Protocol):
    """One page of an answer; its cursor is known before its rows are made."""

    @property
    def next_cursor(self) -> str | None: ...
    @property
    def venues(self) -> tuple[str, ...]: ...
    def rows(self) -> Iterator[Row]: ...


@dataclass(frozen=True, slots=True)
class Page:
    """The slots of one page and the cursor of the next; ``rows`` computes them block by block."""

    slots_ms: tuple[int, ...]
    next_cursor: str | None
    blocks: Callable[[Sequence[int]], list[Row]]
    venues: tuple[str, ...]

    def rows(self) -> Iterator[Row]:
        """Rows in order."""
        for block in _blocks(self.slots_ms):
            yield from self.blocks(block)


def _blocks(slots_ms: Sequence[int]) -> Iterator[Sequence[int]]:
    """Neighbouring slots whose rows are computed together: bounded in number and in stored time."""
    start = 0
    for position in range(1, len(slots_ms) + 1):
        is_last = position == len(slots_ms)
        if (
            is_last
            or position - start >= _BLOCK_ROWS
            or slots_ms[position] - slots_ms[start] >= _BLOCK_SPAN_MS
        ):
            yield slots_ms[start:position]
            start = position


def listings(
    asset: str, venues: Sequence[str] | None, kind: InstrumentKind
) -> tuple[InstrumentRow, ...]:
    """The listing that speaks for each venue, the same one as in the current answer."""
    found = main_listings([asset], kind)
    known = all_venues()
    wanted = known if venues is None else venues
    return tuple(
        found[venue, asset] for venue in known if venue in wanted and (venue, asset) in found
    )


def plan_slots(
    query: HistoryQuery, find: SlotFinder, origin_ms: int = 0
) -> tuple[tuple[int, ...], str | None]:
    """The slots of the page that ``query`` asks for, and the cursor behind them when more follow.

    ``origin_ms`` is any opening of the interval's grid.
    """
    interval = query.interval_ms

    def opening(moment_ms: int) -> int:
        """The first opening at or after a moment."""
        return origin_ms - (origin_ms - moment_ms) // interval * interval

    position = opening(query.start_ms)
    if query.after_ms is not None:
        position = max(position, opening(query.after_ms + 1))
    # Slots open before the end; the last one's rows may lie behind it.
    end = opening(query.end_ms)
    wanted = query.limit + 1
    found: list[int] = []
    look = max(_FIRST_LOOK_SLOTS, wanted)
    while position < end and len(found) < wanted:
        stop = min(end, position + look * interval)
        found += find(position, stop)
        position = stop
        look *= 4
    page = tuple(found[: query.limit])
    has_more = len(found) > query.limit
    return page, query.cursor_after(page[-1]) if has_more else None


def sampled_page(
    query: HistoryQuery,
    now_ms: int,
    chosen: Sequence[InstrumentRow],
    slots_of: SlotReader,
    rows: Callable[[Sequence[int], int], list[Row]],
    named: Sequence[InstrumentRow] | None = None,
) -> Page:
    """A page of a series of samples. ``rows`` makes a block's rows, given the moment that history ends at:
    now, or ``as_of``; ``named`` are the listings whose venues the page names, if not all."""
    ids = [one.id for one in chosen]
    as_of_ms = query.selection.as_of_ms

    def find(start_ms: int, end_ms: int) -> list[int]:
        return slots_of(ids, query.interval_ms, start_ms, end_ms, as_of_ms)

    moment = now_ms if as_of_ms is None else as_of_ms
    slots, cursor = plan_slots(query, find)
    venues = tuple(one.instrument.venue for one in (chosen if named is None else named))
    return Page(slots, cursor, lambda block: rows(block, moment), venues)
