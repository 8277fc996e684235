"""A day lived through, asked about afterwards: ``as_of`` gives what was answered then.

Rows are written in the order in which they became known. At each of many moments the answers are made out
of the rows that exist by then; when the day is over, and with everything stored that came later (late
settlements, amended samples, repaired minutes), the same questions with ``as_of`` give the same bytes.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from apps.core.clock import market_clock
from apps.core.jsonout import dumps
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.rows import BarRow, FundingRow, OpenInterestRow, SeriesRow
from apps.marketdata.services import instruments_sync
from apps.marketdata.writers import rows_write
from apps.markets.history_funding import INTERVALS as FUNDING_INTERVALS
from apps.markets.history_funding import funding_page
from apps.markets.history_ohlcv import INTERVALS as OHLCV_INTERVALS
from apps.markets.history_ohlcv import KINDS, ohlcv_page
from apps.markets.queries import HistoryQuery, read_query
from apps.markets.snapshots import (
    build_funding,
    build_ohlcv,
    build_open_interest,
    build_volume_flow,
)

pytestmark = pytest.mark.django_db(databases=["default", "market"])

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
DAWN: Final = 1_779_062_400_000
"""2026-05-18 00:00 UTC."""
VENUES: Final = {"binance": 8, "bybit": 4, "hyperliquid": 1}
ASSETS: Final = ("BTC", "ETH", "TRX")
BUILDERS: Final = (build_funding, build_open_interest, build_volume_flow, build_ohlcv)


def listed(venue: str) -> list[Instrument]:
    return [
        Instrument(
            venue=venue,
            symbol=f"{asset}USDT",
            asset=asset,
            kind=InstrumentKind.PERP,
            quote="USDT",
            funding_interval_h=float(VENUES[venue]),
        )
        for asset in ASSETS
    ]


def the_day(row_id: int, hours: int, rng: random.Random) -> list[SeriesRow]:
    """One listing's rows of two days, each with the time at which it became known."""
    rows: list[SeriesRow] = []
    for n in range(-24, 24):
        ts = DAWN + n * HOUR
        if n % hours == 0:
            late = ts + rng.randrange(50, 90_000)
            rate = round(rng.gauss(1e-4, 1e-4), 8)
            rows.append(
                FundingRow(row_id, "settled", ts, late, ts, rate, f"{rate:.8f}", hours, "venue")
            )
        for step in range(12):
            sample = ts + step * 5 * MINUTE + rng.randrange(1000)
            known = sample + rng.randrange(500, 20_000)
            rate, coins = round(rng.gauss(1e-4, 1e-4), 8), round(rng.uniform(900, 1100), 3)
            coming = ts - ts % (hours * HOUR) + hours * HOUR
            raw = f"{rate:.8f}"
            rows += [
                FundingRow(row_id, "predicted", sample, known, coming, rate, raw, hours, "stream"),
                OpenInterestRow(row_id, sample, known, coins, coins, coins * 100, "stream"),
            ]
        for minute in range(0, 60, 3):
            rows.append(a_bar(row_id, ts + minute * MINUTE, rng))
    return rows


def a_bar(row_id: int, ts: int, rng: random.Random) -> BarRow:
    """Most minutes are known a few seconds after their end; some were repaired much later."""
    delay = rng.choice((1_500, 2_500, 6_000, 6_000, 40 * MINUTE))
    usd, share = round(rng.uniform(1e3, 1e5), 2), rng.uniform(0.2, 0.8)
    return BarRow(
        row_id, 60, ts, ts + MINUTE + delay, 100.0, 101.5, 98.5, 100.0 + rng.uniform(-1, 1),
        usd / 100, usd, usd * share / 100, usd * share, 9, False, "stream",
    )  # fmt: skip


def question(query: str, metric: str, now_ms: int) -> HistoryQuery:
    is_ohlcv = metric == "markets.ohlcv"
    found = read_query(
        query,
        "",
        metric=metric,
        intervals=OHLCV_INTERVALS if is_ohlcv else FUNDING_INTERVALS,
        now_ms=now_ms,
        kinds=KINDS if is_ohlcv else (),
    )
    assert isinstance(found, HistoryQuery)
    return found


def answers(moment: int) -> list[bytes]:
    """Every current answer, and pages of history, as of that moment."""
    now = [dumps(one) for build in BUILDERS for one in build(ASSETS, moment)]
    window = f"asset=BTC&from={moment - 20 * HOUR}&as_of={moment}"
    funding = funding_page(question(window, "markets.funding", moment), moment).rows()
    candles = ohlcv_page(question(window, "markets.ohlcv", moment), moment).rows()
    return [*now, *(dumps(row) for row in funding), *(dumps(row) for row in candles)]


def test_as_of_is_what_was_answered_then(db: None, clean_redis: Any) -> None:
    market_clock.freeze((DAWN + DAY) * 1_000_000)
    rng = random.Random(18)
    rows: list[SeriesRow] = []
    for venue, hours in VENUES.items():
        listed_at = datetime.fromtimestamp((DAWN - 9 * DAY) / 1000, tz=UTC)
        ids = instruments_sync(venue=venue, listed=listed(venue), assets=ASSETS, now=listed_at).ids
        for row_id in ids.values():
            rows += the_day(row_id, hours, rng)
    rows.sort(key=lambda row: row.known_at)
    moments = sorted(DAWN + rng.randrange(DAY) for _ in range(8))
    said: dict[int, list[bytes]] = {}
    written = 0
    for moment in moments:
        known = [row for row in rows[written:] if row.known_at <= moment]
        written += len(known)
        rows_write(known)
        said[moment] = answers(moment)
        assert len(said[moment]) > len(ASSETS) * len(BUILDERS) + 20
    rows_write(rows[written:])
    for moment in moments:
        assert answers(moment) == said[moment]
    # What is answered does change with the moment.
    assert len({tuple(one) for one in said.values()}) == len(moments)


def test_before_predictions_were_watched_there_is_none_and_a_reason(
    db: None, clean_redis: Any
) -> None:
    """A venue has no history of predicted rates: the past of them begins with our own watching."""
    market_clock.freeze((DAWN + DAY) * 1_000_000)
    moment = datetime.fromtimestamp((DAWN - 9 * DAY) / 1000, tz=UTC)
    venue = listed("binance")
    ids = instruments_sync(venue="binance", listed=venue, assets=ASSETS, now=moment).ids
    rows_write(
        FundingRow(row_id, "settled", ts, ts, ts, 2e-4, "0.00020000", 8.0, "venue")
        for row_id in ids.values()
        for ts in range(DAWN - 5 * DAY, DAWN, 8 * HOUR)
    )
    (one,) = build_funding(["BTC"], DAWN - HOUR)
    assert one["aggregate"]["value"] is None
    assert one["aggregate"]["null_reason"] == "no_data"
    assert one["settled"]["value"] == pytest.approx(0.02)
