"""Past liquidations: sums of each interval by side and venue, or the events themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from apps.core.clock import iso_utc
from apps.marketdata.coverage import liquidation_slots
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.liquidations import (
    EventKey,
    LiquidationRecord,
    liquidation_listing,
    liquidations,
)
from apps.marketdata.normalisation import LIQUIDATIONS as FEEDS
from apps.marketdata.selectors import InstrumentRow, live_board
from apps.marketdata.universe import VENUES
from apps.markets.contracts_liquidations import (
    LiquidationEvent,
    LiquidationsHistoryRow,
    LiquidationsHistorySums,
)
from apps.markets.engines.liquidations import (
    USD_DECIMALS,
    Buckets,
    bucketed,
    imbalance,
    is_stated,
    union,
)
from apps.markets.history import Page, Row, RowPage, listings, plan_slots
from apps.markets.history_contracts import builtins
from apps.markets.history_contracts import open_interest_csv_records as interval_csv_records
from apps.markets.liquidation_inputs import Watch
from apps.markets.queries import EVENT, HistoryQuery, Intervals
from apps.markets.refresh_context import positions

INTERVALS: Final = Intervals(
    {
        EVENT: 60,
        "1m": 60,
        "5m": 300,
        "15m": 900,
        "30m": 1800,
        "1h": 3600,
        "4h": 14_400,
        "1d": 86_400,
    },
    "1h",
)
METHOD: Final = ("liquidations-history", "1.0")


def liquidations_page(query: HistoryQuery, now_ms: int) -> RowPage:
    """The page that ``query`` asks for; ``now_ms`` decides which interval is still open."""
    venues = query.selection.venues or VENUES
    chosen = listings(query.asset, [v for v in venues if v in VENUES], InstrumentKind.PERP)
    return _events(query, chosen) if query.interval == EVENT else _sums(query, chosen, now_ms)


# --- events --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events in the order of their keys."""

    records: tuple[LiquidationRecord, ...]
    next_cursor: str | None
    listed: tuple[InstrumentRow, ...]

    @property
    def venues(self) -> tuple[str, ...]:
        return tuple(row.instrument.venue for row in self.listed)

    def rows(self) -> Iterator[Row]:
        by_id = {row.id: row.instrument for row in self.listed}
        for one in self.records:
            listed = by_id[one.key.instrument_id]
            yield builtins(
                LiquidationEvent(
                    ts=iso_utc(one.key.ts_ms),
                    venue=listed.venue,
                    symbol=listed.symbol,
                    side=one.side,
                    price=one.price,
                    amount_usd=round(one.usd, USD_DECIMALS),
                    qty_base=one.qty_base,
                    quality=one.quality,
                    id=one.key.event_id,
                )
            )


def _events(query: HistoryQuery, chosen: Sequence[InstrumentRow]) -> EventPage:
    after = None if query.after_key is None else EventKey(*query.after_key)
    found = liquidation_listing(
        [one.id for one in chosen],
        query.start_ms,
        query.end_ms,
        query.selection.as_of_ms,
        after,
        query.limit + 1,
    )
    page = tuple(found[: query.limit])
    has_more = len(found) > query.limit
    cursor = query.cursor_after(page[-1].key.ts_ms, page[-1].key) if has_more else None
    return EventPage(page, cursor, tuple(chosen))


# --- sums ----------------------------------------------------------------------------------------------


def _sums(query: HistoryQuery, chosen: Sequence[InstrumentRow], now_ms: int) -> Page:
    ids = [one.id for one in chosen]
    as_of = query.selection.as_of_ms
    moment = now_ms if as_of is None else as_of
    board = live_board() if as_of is None else None

    def find(start_ms: int, end_ms: int) -> list[int]:
        """Intervals in which somebody listened, or something came."""
        stop_ms = min(end_ms, moment)
        if start_ms >= stop_ms:
            return []
        watch = Watch.read(chosen, start_ms, stop_ms, as_of, board if stop_ms == moment else None)
        watched = _watched_slots(watch, ids, query.interval_ms, start_ms, stop_ms)
        held = liquidation_slots(ids, query.interval_ms, start_ms, stop_ms, as_of)
        return sorted({*watched, *held})

    slots, cursor = plan_slots(query, find)
    return Page(
        slots,
        cursor,
        lambda block: _rows(query, chosen, block, moment, board is None),
        tuple(one.instrument.venue for one in chosen),
    )


def _watched_slots(
    watch: Watch, ids: Sequence[int], interval_ms: int, start_ms: int, stop_ms: int
) -> set[int]:
    found: set[int] = set()
    for one in ids:
        for since, until in zip(*(edge.tolist() for edge in union(*watch.spans(one))), strict=True):
            first = max(since, start_ms) // interval_ms * interval_ms
            found |= set(range(first, min(until, stop_ms), interval_ms))
    return found


def _rows(
    query: HistoryQuery,
    chosen: Sequence[InstrumentRow],
    block: Sequence[int],
    moment: int,
    is_past: bool,
) -> list[Row]:
    slots = np.asarray(block, dtype=np.int64)
    ids = [one.id for one in chosen]
    start, end = int(slots[0]), int(slots[-1]) + query.interval_ms
    as_of = query.selection.as_of_ms
    found = liquidations(ids, start, min(end, moment), as_of)
    cells = bucketed(
        slots,
        query.interval_ms,
        found.ts_ms,
        positions(found.instrument_id, ids),
        found.is_long,
        found.usd,
        len(ids),
    )
    board = None if is_past or end < moment else live_board()
    watch = Watch.read(chosen, start, min(end, moment), as_of, board)
    # The interval in the making is as long as it has lasted.
    ends = np.minimum(slots + query.interval_ms, moment)
    lasted = np.maximum(ends - slots, 1)
    shares = np.array(
        [(watch.before(one, ends) - watch.before(one, slots)) / lasted for one in ids]
    )
    return [
        _row(query, chosen, cells, shares, place, slot, moment) for place, slot in enumerate(block)
    ]


def _row(
    query: HistoryQuery,
    chosen: Sequence[InstrumentRow],
    cells: Buckets,
    shares: Any,
    place: int,
    slot: int,
    moment: int,
) -> Row:
    detail = {
        one.instrument.venue: _cell(cells, place, [at], float(shares[at, place]))
        for at, one in enumerate(chosen)
        if shares[at, place] > 0 or cells.count[place, at]
    }
    published = [at for at, one in enumerate(chosen) if FEEDS[one.instrument.venue].is_published]
    optional: dict[str, Any] = {}
    if query.selection.with_aggregate:
        optional["aggregate"] = _total(chosen, cells, shares, place, published)
    return builtins(
        LiquidationsHistoryRow(
            ts=iso_utc(slot),
            closed=moment >= slot + query.interval_ms,
            venues={
                venue: one.total_usd
                for venue, one in detail.items()
                if one.total_usd is not None and FEEDS[venue].is_published
            },
            venues_detail=detail,
            **optional,
        )
    )


def _total(
    chosen: Sequence[InstrumentRow],
    cells: Buckets,
    shares: Any,
    place: int,
    published: Sequence[int],
) -> LiquidationsHistorySums:
    """Of the published venues that were watched; one venue asked for alone counts whatever it is."""
    candidates = list(published) or list(range(len(chosen)))
    stated = [at for at in candidates if is_stated(shares[at, place])]
    seen = float(sum(cells.long_usd[place, at] + cells.short_usd[place, at] for at in candidates))
    share = float(np.mean([shares[at, place] for at in candidates])) if candidates else 0.0
    return _numbers(
        cells,
        place,
        stated,
        share,
        seen,
        {"venues": [chosen[at].instrument.venue for at in stated]},
    )


def _cell(cells: Buckets, place: int, at: list[int], share: float) -> LiquidationsHistorySums:
    seen = float(cells.long_usd[place, at].sum() + cells.short_usd[place, at].sum())
    return _numbers(cells, place, at if is_stated(share) else [], share, seen, {})


def _numbers(
    cells: Buckets,
    place: int,
    inside: list[int],
    share: float,
    seen: float,
    optional: dict[str, Any],
) -> LiquidationsHistorySums:
    if not inside:
        names = ("total_usd", "long_usd", "short_usd", "count", "imbalance", "largest_usd")
        numbers: dict[str, Any] = {**dict.fromkeys(names), "null_reason": "insufficient_history"}
    else:
        long_usd = round(float(cells.long_usd[place, inside].sum()), USD_DECIMALS)
        short_usd = round(float(cells.short_usd[place, inside].sum()), USD_DECIMALS)
        count = int(cells.count[place, inside].sum())
        largest = round(float(cells.largest_usd[place, inside].max()), USD_DECIMALS)
        numbers = {
            "total_usd": round(long_usd + short_usd, USD_DECIMALS),
            "long_usd": long_usd,
            "short_usd": short_usd,
            "count": count,
            "imbalance": imbalance(long_usd, short_usd),
            "largest_usd": largest if count else None,
            **({} if count else {"null_reason": "no_data"}),
        }
    return LiquidationsHistorySums(
        **numbers, **optional, observed_usd=round(seen, USD_DECIMALS), coverage=round(share, 6)
    )


def csv_records(asset: str, row: Row) -> list[dict[str, Any]]:
    """One line per event, or per interval and scope."""
    if "venues_detail" not in row:
        return [{**row, "asset": asset}]
    return interval_csv_records(asset, row)
