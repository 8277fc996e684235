"""Reads of market data. Series come as numpy arrays, ordered by time, then instrument.

Ranges are half-open: ``start <= ts < end``. With ``as_of`` only rows that were known by then
(``known_at <= as_of``) are seen. A missing number is NaN; a missing trade count is -1.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Final

import numpy as np
import numpy.typing as npt
from django.db import InterfaceError, OperationalError

from apps.core.redis import sync_redis
from apps.marketdata.events import FundingKind
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.live import LiveBoard, SourceStatus, read_board, read_sources
from apps.marketdata.models import InstrumentListing, ListingAbsence, ListingChange
from apps.marketdata.readers import Column, read_columns

IntArray = npt.NDArray[np.int64]
IdArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float64]

_INSTRUMENTS_TTL_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class InstrumentRow:
    """A listing and the id that its rows carry."""

    id: int
    instrument: Instrument


@dataclass(frozen=True, slots=True)
class FundingSeries:
    """Rates are decimals per ``interval_h`` hours; ``funding_ts_ms`` is the settlement they belong to."""

    ts_ms: IntArray
    instrument_id: IdArray
    rate: FloatArray
    interval_h: FloatArray
    rate_raw: list[str]
    funding_ts_ms: IntArray
    known_at_ms: IntArray


@dataclass(frozen=True, slots=True)
class BarSeries:
    """``ts_ms`` is the bar's opening; volumes in coins and USD, ``buy_*`` the taker-buy part of them."""

    ts_ms: IntArray
    instrument_id: IdArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume_base: FloatArray
    volume_usd: FloatArray
    buy_base: FloatArray
    buy_usd: FloatArray
    trades: IdArray
    is_partial: npt.NDArray[np.bool_]
    known_at_ms: IntArray


@dataclass(frozen=True, slots=True)
class OpenInterestSeries:
    """Single-sided open interest."""

    ts_ms: IntArray
    instrument_id: IdArray
    oi_contracts: FloatArray
    oi_base: FloatArray
    oi_usd: FloatArray
    known_at_ms: IntArray


@dataclass(frozen=True, slots=True)
class BasisSeries:
    """Mark price and index of the same moment, quote currency per coin."""

    ts_ms: IntArray
    instrument_id: IdArray
    mark_price: FloatArray
    index_price: FloatArray
    known_at_ms: IntArray


@dataclass(frozen=True, slots=True)
class LiquidationSeries:
    """Forced closes; ``is_long`` is True where a long position was closed."""

    ts_ms: IntArray
    instrument_id: IdArray
    is_long: npt.NDArray[np.bool_]
    price: FloatArray
    qty_base: FloatArray
    notional_usd: FloatArray
    known_at_ms: IntArray


@dataclass(slots=True)
class _SharedBoard:
    board: LiveBoard | None = None
    read_us: int = 0


_shared: Final[ContextVar[_SharedBoard | None]] = ContextVar("shared_board", default=None)


def live_board() -> LiveBoard:
    """The newest state of every instrument and the status of every venue (one Redis round trip)."""
    held = _shared.get()
    if held is None:
        return read_board(sync_redis())
    if held.board is None:
        held.read_us = time.time_ns() // 1000
        held.board = read_board(sync_redis())
    return held.board


@contextmanager
def one_board() -> Iterator[None]:
    """Inside, every reader sees one board: that of the first who asks."""
    token = _shared.set(_SharedBoard())
    try:
        yield
    finally:
        _shared.reset(token)


def inputs_us() -> int:
    """Wall time (microseconds) of the oldest live input that a reader gets: now, or the shared board's."""
    held = _shared.get()
    return held.read_us if held is not None and held.read_us else time.time_ns() // 1000


def source_statuses() -> dict[str, SourceStatus]:
    return read_sources(sync_redis())


class _InstrumentCache:
    """All listings of this market, re-read every 5 s: a venue that has just been listed is
    shown at once. While the database is away those that were read last are as good."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._rows: tuple[InstrumentRow, ...] = ()
        self._expires = 0.0

    def rows(self) -> tuple[InstrumentRow, ...]:
        with self._lock:
            now = time.monotonic()
            if now >= self._expires:
                is_read = self._read()
                # An empty table is being filled right now: look again soon.
                again_s = _INSTRUMENTS_TTL_S if self._rows and is_read else 1.0
                self._expires = now + again_s
            return self._rows

    def _read(self) -> bool:
        """False when the last ones have to do; raises when there are none."""
        try:
            listings = InstrumentListing.objects.order_by("id")
            self._rows = tuple(InstrumentRow(row.pk, row.instrument) for row in listings)
        except (OperationalError, InterfaceError):
            if not self._rows:
                raise
            return False
        return True

    def clear(self) -> None:
        with self._lock:
            self._expires = 0.0


_cache: Final = _InstrumentCache()


def clear_instrument_cache() -> None:
    """Forget the cached list: called after instruments were written, and by tests."""
    _cache.clear()


def all_instruments() -> tuple[InstrumentRow, ...]:
    """Every listing, inactive ones included: the same object for as long as it was not read again."""
    return _cache.rows()


def instruments(
    asset: str | None = None,
    venue: str | None = None,
    kind: InstrumentKind | str | None = None,
    *,
    include_inactive: bool = False,
) -> list[InstrumentRow]:
    """Listings in the order of their ids, cached for 5 s."""
    return [
        row
        for row in _cache.rows()
        if (asset is None or row.instrument.asset == asset)
        and (venue is None or row.instrument.venue == venue)
        and (kind is None or row.instrument.kind == kind)
        and (include_inactive or row.instrument.is_active)
    ]


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One stored change of a venue's instrument list."""

    venue: str
    asset: str
    symbol: str
    kind: str
    change: str
    detail: str
    at: datetime


@dataclass(frozen=True, slots=True)
class AbsenceRow:
    """An asset that a venue has no perpetual of, since when, and why."""

    venue: str
    asset: str
    symbol: str
    reason: str
    since: datetime


def listing_changes(since: datetime) -> list[ChangeRow]:
    """Listings, delistings, renames and changed units since then, newest first."""
    found = ListingChange.objects.filter(at__gte=since).order_by("-at", "-pk")
    return [
        ChangeRow(one.venue, one.asset, one.symbol, one.kind, one.change, one.detail, one.at)
        for one in found
    ]


def listing_absences() -> list[AbsenceRow]:
    found = ListingAbsence.objects.order_by("venue", "asset")
    return [AbsenceRow(one.venue, one.asset, one.symbol, one.reason, one.since) for one in found]


_FUNDING: Final = (
    Column.time("ts"),
    Column.int32("instrument_id"),
    Column.float64("rate"),
    Column.float64("interval_h"),
    Column.text("rate_raw", 32),
    Column.time("funding_ts"),
    Column.time("known_at"),
)
_BAR: Final = (
    Column.time("ts"),
    Column.int32("instrument_id"),
    *(Column.float64(name) for name in ("open", "high", "low", "close")),
    *(Column.float64(name) for name in ("volume_base", "volume_usd", "buy_base", "buy_usd")),
    Column.int32("trades"),
    Column.boolean("is_partial"),
    Column.time("known_at"),
)
_OPEN_INTEREST: Final = (
    Column.time("ts"),
    Column.int32("instrument_id"),
    *(Column.float64(name) for name in ("oi_contracts", "oi_base", "oi_usd")),
    Column.time("known_at"),
)
_BASIS: Final = (
    Column.time("ts"),
    Column.int32("instrument_id"),
    *(Column.float64(name) for name in ("mark_price", "index_price")),
    Column.time("known_at"),
)
_LIQUIDATION: Final = (
    Column.time("ts"),
    Column.int32("instrument_id"),
    Column.boolean("side = 'long'"),
    *(Column.float64(name) for name in ("price", "qty_base", "notional_usd")),
    Column.time("known_at"),
)


def funding_series(
    instrument_ids: Sequence[int],
    kind: FundingKind | str,
    start: datetime,
    end: datetime,
    as_of: datetime | None = None,
) -> FundingSeries:
    """Settled rates by settlement time, or samples of the predicted rate by sample time."""
    columns = read_columns(
        "funding_rate", _FUNDING, instrument_ids, start, end, as_of, kind=str(kind)
    )
    ts, ids, rate, interval_h, raw, funding_ts, known_at = columns
    texts = [value.decode().rstrip() for value in raw.tolist()]
    return FundingSeries(ts, ids, rate, interval_h, texts, funding_ts, known_at)


def bar_series(
    instrument_ids: Sequence[int],
    interval_s: int,
    start: datetime,
    end: datetime,
    as_of: datetime | None = None,
) -> BarSeries:
    """Bars whose opening lies in the range. Closed bars only: the bar in the making is in live state."""
    return BarSeries(
        *read_columns("bar", _BAR, instrument_ids, start, end, as_of, interval_s=interval_s)
    )


def open_interest_series(
    instrument_ids: Sequence[int], start: datetime, end: datetime, as_of: datetime | None = None
) -> OpenInterestSeries:
    return OpenInterestSeries(
        *read_columns("open_interest", _OPEN_INTEREST, instrument_ids, start, end, as_of)
    )


def basis_series(
    instrument_ids: Sequence[int], start: datetime, end: datetime, as_of: datetime | None = None
) -> BasisSeries:
    """Samples of mark price and index."""
    return BasisSeries(*read_columns("basis", _BASIS, instrument_ids, start, end, as_of))


def liquidation_series(
    instrument_ids: Sequence[int], start: datetime, end: datetime, as_of: datetime | None = None
) -> LiquidationSeries:
    return LiquidationSeries(
        *read_columns("liquidation", _LIQUIDATION, instrument_ids, start, end, as_of)
    )
