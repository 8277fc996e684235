"""All 65 assets on up to five venues, as stored rows of made-up but fixed numbers; and slow readers of them.

The readers know SQL and arithmetic and nothing of the code that they check.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connections

from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.rows import BarRow, FundingRow, OpenInterestRow, SeriesRow
from apps.marketdata.services import instruments_sync
from apps.marketdata.universe import ASSETS
from apps.marketdata.writers import rows_write

MINUTE = 60_000
HOUR = 60 * MINUTE
NOW_MS = 1_779_048_870_000
"""2026-05-17 20:14:30 UTC."""
MINUTES = 70
HOURS = 26
INTERVALS = {"binance": 8.0, "bybit": 4.0, "okx": 8.0, "deribit": 8.0, "hyperliquid": 1.0}


@dataclass(frozen=True)
class Listed:
    row_id: int
    venue: str
    asset: str
    kind: str


def perps() -> list[Instrument]:
    """Fewer venues for the later assets, one of them alone for the last."""
    rng = random.Random(65)
    found: list[Instrument] = []
    for place, asset in enumerate(ASSETS):
        count = 1 if place == len(ASSETS) - 1 else rng.choice((2, 3, 4, 5))
        found += [
            Instrument(
                venue=venue,
                symbol=f"{asset}-{venue}",
                asset=asset,
                kind=InstrumentKind.PERP,
                quote="USDT",
                funding_interval_h=INTERVALS[venue],
            )
            for venue in list(INTERVALS)[:count]
        ]
    return found


def make_wide() -> list[Listed]:
    """Store the world; what it lists."""
    ids: dict[str, int] = {}
    everyone = perps()
    for venue in INTERVALS:
        mine = [one for one in everyone if one.venue == venue]
        moment = datetime.fromtimestamp((NOW_MS - 40 * 24 * HOUR) / 1000, tz=UTC)
        synced = instruments_sync(venue=venue, listed=mine, assets=ASSETS, now=moment)
        ids |= synced.ids
    rng = random.Random(1)
    listed = [Listed(ids[one.key], one.venue, one.asset, one.kind.value) for one in everyone]
    prices = {asset: 10 ** rng.uniform(-4, 5) for asset in ASSETS}
    rows_write(row for one in listed for row in _rows(one, prices[one.asset], rng))
    return listed


def _rows(one: Listed, price: float, rng: random.Random) -> Iterator[SeriesRow]:
    interval_h = INTERVALS[one.venue]
    for n in range(3):
        ts = NOW_MS - 40_000 - n * 5 * MINUTE
        rate = round(rng.gauss(1e-4, 2e-4) * interval_h / 8, 10)
        raw = f"{rate:.10f}"
        coming = NOW_MS + HOUR
        yield FundingRow(one.row_id, "predicted", ts, ts, coming, rate, raw, interval_h, "stream")
    base = 10 ** rng.uniform(2, 6)
    for n in range(HOURS * 2):
        ts = NOW_MS - 90_000 - n * 30 * MINUTE
        coins = round(base * rng.uniform(0.9, 1.1), 4)
        usd = round(coins * price, 2)
        yield OpenInterestRow(one.row_id, ts, ts, coins, coins, usd, "stream")
    for n in range(1, MINUTES + 1):
        if rng.random() < 0.1:
            continue
        yield _bar(one, NOW_MS // MINUTE * MINUTE - n * MINUTE, price, rng)


def _bar(one: Listed, ts: int, price: float, rng: random.Random) -> BarRow:
    prices = [price * rng.uniform(0.99, 1.01) for _ in range(4)]
    volume, share = 10 ** rng.uniform(2, 5), rng.uniform(0.3, 0.7)
    usd = round(volume, 2)
    return BarRow(
        instrument_id=one.row_id,
        interval_s=60,
        ts=ts,
        known_at=ts + MINUTE + 1000,
        open=prices[0],
        high=max(prices),
        low=min(prices),
        close=prices[3],
        volume_base=usd / price,
        volume_usd=usd,
        buy_base=usd * share / price,
        buy_usd=usd * share,
        trades=rng.randrange(1, 50),
        is_partial=False,
        origin="stream",
    )


def stored(query: str, *params: Any) -> list[tuple[Any, ...]]:
    with connections["market"].cursor() as cursor:
        cursor.execute(query, params)
        return list(cursor.fetchall())


def at(ts_ms: int) -> datetime:
    return datetime.fromtimestamp(ts_ms / 1000, tz=UTC)
