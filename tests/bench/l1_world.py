"""A market of full size in a database of its own: 65 assets on five venues, filled by the server itself."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import connections

from apps.core.clock import market_clock
from apps.core.redis import sync_redis
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.live import LiveState, SourceStatus, write_live
from apps.marketdata.partitions import ensure_partitions, forget_known_partitions
from apps.marketdata.selectors import clear_instrument_cache, instruments
from apps.marketdata.services import instruments_sync
from apps.marketdata.universe import ASSETS, HOT, VENUES

DATABASE: Final = "focsal_bench_market"
_SPOT_VENUES: Final = ("binance", "bybit", "okx")
_DAY: Final = timedelta(days=1)
# Half a turn of a wave in a week, some noise on it, never zero.
_WAVE: Final = "(1 + 0.02 * sin(extract(epoch FROM ts) / 96250 + i.id) + 0.01 * random())"
_PRICE: Final = f"(100 + i.id) * {_WAVE}"


@contextmanager
def own_market(name: str = "bench") -> Iterator[None]:
    """An empty, migrated market database in the place of the configured one, Redis keys under ``name`` and
    context files of its own; all of it is gone at the end."""
    kept = settings.MARKET, settings.VAR_DIR
    with tempfile.TemporaryDirectory() as folder, _own_database():
        settings.MARKET, settings.VAR_DIR = name, Path(folder)
        try:
            yield
        finally:
            forget_live()
            settings.MARKET, settings.VAR_DIR = kept
            market_clock.freeze(None)


@contextmanager
def _own_database() -> Iterator[None]:
    connection = connections["market"]
    kept = connection.settings_dict["NAME"]
    tests: dict[str, Any] = connection.settings_dict["TEST"]
    tests["NAME"] = DATABASE
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    forget_known_partitions()
    clear_instrument_cache()
    try:
        yield
    finally:
        connection.creation.destroy_test_db(kept, verbosity=0)
        forget_known_partitions()
        clear_instrument_cache()


def list_everything(now: datetime) -> list[Instrument]:
    """Perpetuals of every asset on every venue, spot on three."""
    listed = [
        Instrument(
            venue=venue,
            symbol=f"{asset}-{kind.value}",
            asset=asset,
            kind=kind,
            quote="USDT",
            funding_interval_h=(1.0 if venue == "hyperliquid" else 8.0),
        )
        for asset in ASSETS
        for venue in VENUES
        for kind in (InstrumentKind.PERP, InstrumentKind.SPOT)
        if kind is InstrumentKind.PERP or venue in _SPOT_VENUES
    ]
    for venue in VENUES:
        mine = [one for one in listed if one.venue == venue]
        instruments_sync(venue=venue, listed=mine, assets=ASSETS, now=now - 400 * _DAY)
    clear_instrument_cache()
    return listed


def fill(sql: str, table: str, start: datetime, end: datetime, step: timedelta, which: str) -> int:
    """``INSERT … SELECT`` over every step of every instrument of ``which``; returns the rows."""
    ensure_partitions(table, [start + n * _DAY for n in range((end - start).days + 2)])
    with connections["market"].cursor() as cursor:
        # PostgreSQL takes an interval; Django's types do not list it.
        params: list[Any] = [start, end - step, step]
        cursor.execute(
            f"INSERT INTO {table} {sql} FROM instrument i, "
            f"generate_series(%s::timestamptz, %s::timestamptz, %s) AS ts WHERE {which}",
            params,
        )
        return int(cursor.rowcount)


def bars(start: datetime, end: datetime, length_s: int, which: str = "true") -> int:
    step = timedelta(seconds=length_s)
    usd = f"{length_s} * 100.0 * {_WAVE}"
    return fill(
        f"SELECT i.id, {length_s}, ts, ts + interval '{length_s} s', {_PRICE}, 102 + i.id * 1.1, "
        f"90.0 + i.id * 0.9, {_PRICE}, {usd} / (100 + i.id), {usd}, {usd} / (200 + i.id), {usd} / 2, "
        "10, false, 'venue'",
        "bar", start, end, step, which,
    )  # fmt: skip


def funding(start: datetime, end: datetime) -> int:
    rate = "round((1e-4 * (random() - 0.4))::numeric, 8)"
    found = 0
    for hours, which in ((8, "i.venue <> 'hyperliquid'"), (1, "i.venue = 'hyperliquid'")):
        found += fill(
            f"SELECT i.id, 'settled', ts, ts, ts, {rate}, '0.00010000', {hours}, 'venue'",
            "funding_rate", start, end, timedelta(hours=hours), f"i.kind = 'perp' AND {which}",
        )  # fmt: skip
    return found


def open_interest(start: datetime, end: datetime, step_s: int, which: str = "true") -> int:
    return fill(
        f"SELECT i.id, ts, ts, 1000 * {_WAVE}, 1000 * {_WAVE}, 1000 * {_PRICE}, 'venue'",
        "open_interest", start, end, timedelta(seconds=step_s), f"i.kind = 'perp' AND {which}",
    )  # fmt: skip


def marks(start: datetime, end: datetime, step_s: int, which: str = "true") -> int:
    return fill(
        f"SELECT i.id, ts, ts, {_PRICE}, 100 + i.id, 'venue'",
        "basis", start, end, timedelta(seconds=step_s), f"i.kind = 'perp' AND {which}",
    )  # fmt: skip


def shares(start: datetime, end: datetime, step_s: int) -> int:
    return sum(
        fill(
            f"SELECT i.id, '{series}', ts, ts, 0.4 + 0.2 * random(), "
            f"{step_s if series == 'taker' else 0}, 'venue'",
            "positioning", start, end, timedelta(seconds=step_s),
            "i.kind = 'perp' AND i.venue IN ('binance', 'okx')",
        )
        for series in ("accounts", "top_accounts", "top_positions", "taker")
    )  # fmt: skip


def liquidations(start: datetime, end: datetime, step_s: int) -> int:
    return fill(
        "SELECT i.id, ts, ts::text, ts, CASE WHEN random() < 0.5 THEN 'long' ELSE 'short' END, "
        "100.0, 10, 1000 * random(), 'sampled', 'stream'",
        "liquidation", start, end, timedelta(seconds=step_s), "i.kind = 'perp'",
    )  # fmt: skip


def hot(is_hot: bool = True) -> str:
    names = ", ".join(f"'{asset}'" for asset in HOT)
    return f"i.asset {'IN' if is_hot else 'NOT IN'} ({names})"


def context(now: datetime, since_days: int, until_days: int = 0) -> int:
    """What the context windows are made of, between so many days ago; returns the rows.

    The newest part brings a day of minutes too.
    """
    start, end = now - since_days * _DAY, now - until_days * _DAY
    rows = funding(start, end)
    for is_hot, bar_s, oi_s in ((True, 300, 300), (False, 1800, 3600)):
        which = hot(is_hot)
        rows += bars(start, end, bar_s, which)
        rows += open_interest(start, end, oi_s, which)
        rows += marks(start, end, bar_s, which)
    if until_days == 0:
        rows += bars(now - _DAY, now, 60)
    rows += shares(start, end, 1800)
    rows += liquidations(start, end, 7200)
    analyse()
    return rows


def analyse() -> None:
    with connections["market"].cursor() as cursor:
        cursor.execute("ANALYZE")


def go_live(now_ms: int) -> None:
    """Every listing says something, every venue is well."""
    rng = random.Random(7)
    states = []
    for row in instruments():
        state = LiveState.of(row.instrument)
        state.ts_event_ms = state.ts_recv_ms = state.mark_ts_ms = state.index_ts_ms = now_ms - 900
        state.funding_ts_ms = state.oi_ts_ms = state.trade_ts_ms = now_ms - 900
        state.last_price = state.mark_price = 100.0 + row.id
        state.index_price = 100.0 + row.id * (1 + rng.uniform(-1e-3, 1e-3))
        state.funding_rate = round(rng.gauss(1e-4, 1e-4), 8)
        state.funding_rate_raw = f"{state.funding_rate:.8f}"
        state.next_funding_ms = now_ms + 3_600_000
        state.oi_base = state.oi_contracts = rng.uniform(500, 1500)
        state.oi_usd = state.oi_base * state.mark_price
        state.book_state, state.stream_status = "live", "live"
        states.append(state)
    sources = [SourceStatus(venue=venue, status="ok", last_ok_ms=now_ms) for venue in VENUES]
    write_live(sync_redis(), states, sources)


def forget_live() -> None:
    client = sync_redis()
    names = list(client.scan_iter(f"focsal:{settings.MARKET}:*", count=1000))
    if names:
        client.delete(*names)


def floor_minute(now: datetime) -> datetime:
    return now.replace(second=0, microsecond=0, tzinfo=UTC)


def tables(names: Sequence[str]) -> dict[str, str]:
    """Size on disk, partitions and indexes included."""
    with connections["market"].cursor() as cursor:
        found = {}
        for name in names:
            cursor.execute(
                "SELECT pg_size_pretty(sum(pg_total_relation_size(relid))) "
                "FROM pg_partition_tree(%s)",
                [name],
            )
            (found[name],) = cursor.fetchone()
        return found
