"""Changes to market data that are not series rows: the instrument list and backfill spans."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from django.db import connections, transaction

from apps.marketdata.instruments import Instrument
from apps.marketdata.listing_changes import Absence, Change, absences, changes_between
from apps.marketdata.models import (
    BackfillSpan,
    InstrumentListing,
    ListingAbsence,
    ListingChange,
)
from apps.marketdata.selectors import clear_instrument_cache
from apps.marketdata.writers import connection_refresh

_UPDATED = (
    *("asset", "quote", "price_mult", "contract_size", "is_inverse", "tick_size", "lot_size"),
    *("funding_interval_h", "expiry_ms", "is_active", "delisted_at"),
)


@dataclass(frozen=True, slots=True)
class Synced:
    """Row ids by instrument key, what changed since the last time, and what is missing now."""

    ids: dict[str, int]
    changes: list[Change]
    absences: list[Absence]


def instruments_sync(
    *,
    venue: str,
    listed: Iterable[Instrument],
    assets: Collection[str],
    now: datetime,
    dropped: Iterable[Absence] = (),
) -> Synced:
    """Make the stored list of a venue equal to what it lists now.

    Listings of these assets that the venue no longer names become inactive; their rows stay, and so do
    their ids. Changes are stored, except for a venue's first list; assets without a perpetual are stored
    with the reason, which is the venue's own where ``dropped`` says it.
    """
    found = {instrument.key: instrument for instrument in listed}
    rows = [
        InstrumentListing(
            venue=one.venue,
            symbol=one.symbol,
            kind=one.kind.value,
            asset=one.asset,
            quote=one.quote,
            price_mult=one.price_mult,
            contract_size=one.contract_size,
            is_inverse=one.is_inverse,
            tick_size=one.tick_size,
            lot_size=one.lot_size,
            funding_interval_h=one.funding_interval_h,
            expiry_ms=one.expiry_ms,
            is_active=one.is_active,
            listed_at=now,
        )
        for one in found.values()
    ]
    connection_refresh()
    missing = absences(found.values(), dropped, assets)
    with transaction.atomic(using="market"):
        mine = InstrumentListing.objects.filter(venue=venue, asset__in=list(assets))
        before = {row.instrument.key: row.instrument for row in mine if row.is_active}
        changes = changes_between(before, found) if before else []
        InstrumentListing.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["venue", "kind", "symbol"],
            update_fields=_UPDATED,
        )
        stored = list(mine.all())
        gone = [row.pk for row in stored if row.is_active and row.instrument.key not in found]
        InstrumentListing.objects.filter(pk__in=gone).update(is_active=False, delisted_at=now)
        _changes_store(venue, changes, now)
        _absences_store(venue, missing, assets, now)
    clear_instrument_cache()
    ids = {row.instrument.key: row.pk for row in stored if row.instrument.key in found}
    return Synced(ids, changes, missing)


def _changes_store(venue: str, changes: Iterable[Change], now: datetime) -> None:
    ListingChange.objects.bulk_create(
        ListingChange(
            venue=venue,
            asset=one.instrument.asset,
            symbol=one.instrument.symbol,
            kind=one.instrument.kind.value,
            change=one.kind.value,
            detail=one.detail[:200],
            at=now,
        )
        for one in changes
    )


def _absences_store(
    venue: str, missing: Iterable[Absence], assets: Collection[str], now: datetime
) -> None:
    stored = ListingAbsence.objects.filter(venue=venue, asset__in=list(assets))
    # The same absence for the same reason keeps its beginning.
    since = {(row.asset, row.symbol, row.reason): row.since for row in stored}
    stored.delete()
    ListingAbsence.objects.bulk_create(
        ListingAbsence(
            venue=venue,
            asset=one.asset,
            symbol=(one.symbol or "")[:64],
            reason=one.reason[:100],
            since=since.get((one.asset, (one.symbol or "")[:64], one.reason[:100]), now),
        )
        for one in missing
    )


def backfill_span_extend(
    *, instrument_id: int, series: str, interval_s: int, since: datetime, until: datetime
) -> None:
    """Remember that the venue's history in ``[since, until)`` is stored.

    A span that does not touch the stored one replaces it: one span per series is kept, the newest.
    """
    with connections["market"].cursor() as cursor:
        cursor.execute(_EXTEND, [instrument_id, series, interval_s, since, until])


_EXTEND: Final = """
INSERT INTO backfill_span AS held (instrument_id, series, interval_s, since, until)
VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (instrument_id, series, interval_s) DO UPDATE SET
  since = CASE WHEN excluded.since <= held.until THEN least(held.since, excluded.since)
               ELSE excluded.since END,
  until = greatest(held.until, excluded.until)
WHERE excluded.until >= held.since
"""
"""One that ends before the stored one begins changes nothing."""


def backfill_spans() -> dict[tuple[str, int], dict[int, tuple[datetime, datetime]]]:
    """Stored spans by (series, interval in seconds), then by instrument id; one query."""
    found: dict[tuple[str, int], dict[int, tuple[datetime, datetime]]] = {}
    for span in BackfillSpan.objects.all():
        key = (span.series, span.interval_s)
        found.setdefault(key, {})[span.instrument_id] = (span.since, span.until)
    return found


class Held(NamedTuple):
    """A series that was kept up to date from ``from_ms`` to ``until_ms`` without asking for its history."""

    instrument_id: int
    series: str
    interval_s: int
    from_ms: int
    until_ms: int


def backfill_spans_advance(held: Iterable[Held]) -> int:
    """Let stored spans grow by what the streams brought; a span that ends before it stays as it is.

    Returns how many have grown.
    """
    rows = [one for one in held if one.until_ms > one.from_ms]
    if not rows:
        return 0
    connection_refresh()
    with connections["market"].cursor() as cursor:
        cursor.execute(
            "UPDATE backfill_span AS span SET until = to_timestamp(held.until / 1000.0) "
            "FROM unnest(%s::int[], %s::text[], %s::int[], %s::bigint[], %s::bigint[]) "
            "AS held(id, series, interval_s, since, until) "
            "WHERE span.instrument_id = held.id AND span.series = held.series "
            "AND span.interval_s = held.interval_s "
            "AND span.until >= to_timestamp(held.since / 1000.0) "
            "AND span.until < to_timestamp(held.until / 1000.0)",
            [list(column) for column in zip(*rows, strict=True)],
        )
        return int(cursor.rowcount)
