"""Liquidations over REST and as snapshots: sums, what was not watched, context, events, history."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest
from django.db import connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core.clock import iso_utc
from apps.core.redis import sync_redis
from apps.marketdata.live import LiveState, SourceStatus, write_live
from apps.marketdata.normalisation import LIQUIDATIONS as FEEDS
from apps.marketdata.rows import LiquidationRow, OpenInterestRow
from apps.marketdata.services import instruments_sync
from apps.marketdata.universe import ASSETS, VENUES
from apps.marketdata.watching import LIQUIDATIONS as SERIES
from apps.marketdata.watching import Watched, watch_spans_extend
from apps.marketdata.writers import rows_write
from apps.markets.contracts_liquidations import LIQUIDATION_WINDOWS, MAX_EVENTS
from apps.markets.snapshots import build_liquidations, refresh_liquidations
from apps.snapshots import store
from tests.markets.conftest import LIQUIDATIONS, Api
from tests.markets.world import DAY, HOUR, NOW_MS, Market, perp

pytestmark = pytest.mark.django_db(databases=["default", "market"])
MINUTE = 60_000
SLOT = 5 * MINUTE
PUBLISHED = ("binance", "bybit", "okx", "deribit")
OI_USD = {"binance": 5e9, "bybit": 2e9, "okx": 2e9, "deribit": 1e9, "hyperliquid": 5e8}


def list_perp(venue: str, asset: str) -> int:
    listed = perp(venue, asset)
    now = datetime.fromtimestamp((NOW_MS - 40 * DAY) / 1000, tz=UTC)
    synced = instruments_sync(venue=venue, listed=[listed], assets={asset}, now=now)
    return synced.ids[listed.key]


def event(
    row_id: int, ts: int, usd: float, side: str = "long", name: str = "", venue: str = "bybit",
    known_at: int | None = None,
) -> LiquidationRow:  # fmt: skip
    quality = FEEDS[venue].quality
    assert quality is not None
    return LiquidationRow(
        instrument_id=row_id,
        ts=ts,
        event_id=name or f"{ts}:{side}:{usd}",
        known_at=ts + 200 if known_at is None else known_at,
        side=side,
        price=50.0,
        qty_base=usd / 50,
        notional_usd=usd,
        quality=quality.value,
        origin="stream",
    )


def watched(row_id: int, since_ms: int, until_ms: int) -> None:
    watch_spans_extend(series=SERIES, spans=[Watched(row_id, since_ms, until_ms)])


def usd_at(venue: str, ts: int) -> float:
    """One event per venue and slot: a daily wave, each venue of its own size; 0 is none at all."""
    wave = math.sin(2 * math.pi * ts / DAY + VENUES.index(venue)) + math.sin(ts / 5e7)
    return round(max(0.0, 1000.0 * (1 + VENUES.index(venue)) * (wave + 0.7)), 2)


def past_events(venue: str, row_id: int, days: int = 31) -> list[LiquidationRow]:
    end = NOW_MS // SLOT * SLOT
    found = []
    for number in range(1, days * 288):
        ts = end - number * SLOT + 7_000
        usd = usd_at(venue, ts)
        if usd:
            side = "short" if number % 3 == 0 else "long"
            found.append(event(row_id, ts, usd, side, venue=venue))
    return found


@pytest.fixture
def five(market: Market) -> dict[str, int]:
    """SOL on five venues, listened to for 31 days."""
    ids = {venue: list_perp(venue, "SOL") for venue in VENUES}
    for venue, row_id in ids.items():
        rows_write(past_events(venue, row_id))
        watched(row_id, NOW_MS - 32 * DAY, NOW_MS - 5_000)
        moments = range(NOW_MS - 8 * DAY, NOW_MS, HOUR // 4)
        usd = OI_USD[venue]
        rows_write([OpenInterestRow(row_id, ts, ts, 1.0, 1.0, usd, "venue") for ts in moments])
    return ids


def tell(down: str | None = None, since_ms: int | None = NOW_MS - 32 * DAY) -> None:
    """Live states: who listens now. ``down``: a venue whose connection was lost."""
    states = []
    for venue in VENUES:
        made = LiveState.of(perp(venue, "SOL"))
        made.oi_usd = OI_USD[venue]
        made.liquidations_since_ms = None if venue == down else since_ms
        states.append(made)
    sources = [
        SourceStatus(venue=v, status="down" if v == down else "ok", last_ok_ms=NOW_MS - 500)
        for v in VENUES
    ]
    write_live(sync_redis(), states, sources)


def now_of(asset: str = "SOL") -> Any:
    (found,) = build_liquidations([asset])
    return found


# ---------------------------------------------------------------- sums


def slow_sums(venues: tuple[str, ...], length_ms: int) -> dict[str, Any]:
    rows = [
        row
        for venue in venues
        for row in past_events(venue, 0, 2)
        if NOW_MS - length_ms <= row.ts < NOW_MS
    ]
    by_side = Counter[str]()
    for row in rows:
        by_side[row.side] += row.notional_usd  # type: ignore[assignment]  # counts of cents
    return {
        "total_usd": pytest.approx(sum(row.notional_usd for row in rows), abs=0.02),
        "long_usd": pytest.approx(by_side["long"], abs=0.02),
        "short_usd": pytest.approx(by_side["short"], abs=0.02),
        "count": len(rows),
    }


@pytest.mark.parametrize("name", LIQUIDATION_WINDOWS)
def test_sums_equal_a_slow_count(five: dict[str, int], name: str) -> None:
    tell()
    found = now_of()
    length = LIQUIDATION_WINDOWS[name]
    expected = {"aggregate": slow_sums(PUBLISHED, length)} | {
        venue: slow_sums((venue,), length) for venue in VENUES
    }
    blocks = {"aggregate": found["aggregate"], **found["venues_detail"]}
    for scope, numbers in expected.items():
        window = blocks[scope]["windows"][name]
        assert {key: window[key] for key in numbers} == numbers, scope
        assert window["coverage"] == 1.0
        assert window["observed_usd"] == window["total_usd"]
        if window["count"]:
            skew = (window["long_usd"] - window["short_usd"]) / window["total_usd"]
            assert window["imbalance"] == pytest.approx(skew, abs=1e-6)
    total = found["aggregate"]["windows"][name]
    assert total["venues"] == list(PUBLISHED)
    estimate = found["venues_detail"]["hyperliquid"]["windows"][name]["total_usd"]
    assert total["estimated_usd"] == estimate


def test_the_value_is_the_hour_and_venues_add_up(five: dict[str, int]) -> None:
    tell()
    found = now_of()
    aggregate = found["aggregate"]
    assert aggregate["value"] == aggregate["windows"]["1h"]["total_usd"]
    assert (aggregate["unit"], aggregate["window"]) == ("usd", "1h")
    assert list(found["venues"]) == list(PUBLISHED)
    assert sum(found["venues"].values()) == pytest.approx(aggregate["value"], abs=1e-6)
    shares = {v: one["share"] for v, one in found["venues_detail"].items()}
    assert shares.pop("hyperliquid") is None
    assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
    assert (aggregate["coverage"], aggregate["confidence"]) == (1.0, "full")
    assert found["meta"]["partial"] is False
    assert [one["status"] for one in found["meta"]["sources"]] == ["ok"] * 5


def test_how_complete_each_venue_is(five: dict[str, int]) -> None:
    tell()
    found = now_of()
    assert {v: one["completeness"] for v, one in found["venues_detail"].items()} == {
        "binance": "sampled", "bybit": "full", "okx": "partial", "deribit": "full",
        "hyperliquid": "estimated",
    }  # fmt: skip
    assert {v: one["undercount"] for v, one in found["venues_detail"].items()} == {
        "binance": True, "bybit": False, "okx": True, "deribit": False, "hyperliquid": False,
    }  # fmt: skip
    assert found["aggregate"]["undercount"] is True


def test_the_largest_event_of_a_window_is_named(five: dict[str, int]) -> None:
    tell()
    rows_write([event(five["okx"], NOW_MS - 90_000, 9e6, "short", "big", "okx")])
    rows_write([event(five["hyperliquid"], NOW_MS - 80_000, 5e7, "long", "guess", "hyperliquid")])
    found = now_of()
    assert found["aggregate"]["windows"]["1h"]["largest"] == {
        "ts": iso_utc(NOW_MS - 90_000), "venue": "okx", "symbol": "SOLUSDT", "side": "short",
        "price": 50.0, "amount_usd": 9e6, "qty_base": 180_000.0, "quality": "partial", "id": "big",
    }  # fmt: skip
    # A guess is no part of sums over the venues, but stands at its own.
    own = found["venues_detail"]["hyperliquid"]["windows"]["1h"]
    assert (own["largest"]["id"], own["largest"]["quality"]) == ("guess", "estimated")
    assert found["aggregate"]["windows"]["1m"]["largest"] is None


# ---------------------------------------------------------------- what was not watched


def test_an_unwatched_window_is_null_not_zero(market: Market) -> None:
    for venue in VENUES:
        list_perp(venue, "SOL")
    tell(since_ms=NOW_MS - 10 * MINUTE)
    found = now_of()
    for block in (found["aggregate"], *found["venues_detail"].values()):
        minute, hour = block["windows"]["1m"], block["windows"]["1h"]
        assert (minute["total_usd"], minute["count"], minute["coverage"]) == (0.0, 0, 1.0)
        assert (hour["total_usd"], hour["count"]) == (None, None)
        assert hour["null_reason"] == "insufficient_history"
        assert hour["coverage"] == pytest.approx(1 / 6, abs=1e-6)
        assert (block["value"], block["state"]) == (None, None)
        assert block["null_reason"] == "insufficient_history"
    assert found["venues"] == {}
    assert found["events"] == []


def test_what_was_seen_in_a_part_is_a_lower_bound(market: Market) -> None:
    row_id = list_perp("bybit", "SOL")
    rows_write([event(row_id, NOW_MS - 5 * MINUTE, 700.0)])
    tell(since_ms=NOW_MS - 10 * MINUTE)
    window = now_of()["venues_detail"]["bybit"]["windows"]["1h"]
    assert (window["total_usd"], window["observed_usd"]) == (None, 700.0)


def test_nobody_ever_listened(market: Market) -> None:
    list_perp("binance", "SOL")
    tell(since_ms=None)
    found = now_of()
    assert found["venues_detail"]["binance"]["null_reason"] == "no_data"
    assert found["aggregate"]["null_reason"] == "no_data"
    assert found["aggregate"]["windows"]["24h"]["coverage"] == 0.0


def test_a_short_break_is_forgiven_a_long_one_is_not(market: Market) -> None:
    row_id = list_perp("bybit", "SOL")
    watched(row_id, NOW_MS - 2 * HOUR, NOW_MS - 30 * MINUTE)
    tell(since_ms=NOW_MS - 28 * MINUTE)
    detail = now_of()["venues_detail"]["bybit"]
    assert detail["windows"]["1h"]["coverage"] == pytest.approx(58 / 60, abs=1e-6)
    assert (detail["value"], detail["undercount"]) == (0.0, True)
    assert detail["state"] == "quiet"
    tell(since_ms=NOW_MS - 26 * MINUTE)
    assert now_of()["venues_detail"]["bybit"]["value"] is None


def test_a_dead_process_does_not_go_on_listening(market: Market) -> None:
    """Its last word in Redis says that it listens; the venue was last heard ten minutes ago."""
    row_id = list_perp("bybit", "SOL")
    watched(row_id, NOW_MS - 3 * HOUR, NOW_MS - 10 * MINUTE)
    made = LiveState.of(perp("bybit", "SOL"))
    made.liquidations_since_ms = NOW_MS - 3 * HOUR
    source = SourceStatus(venue="bybit", status="ok", last_ok_ms=NOW_MS - 10 * MINUTE)
    write_live(sync_redis(), [made], [source])
    detail = now_of()["venues_detail"]["bybit"]
    assert detail["windows"]["1h"]["coverage"] == pytest.approx(50 / 60, abs=1e-6)
    assert detail["null_reason"] == "stale"


@pytest.mark.parametrize("gone", VENUES)
def test_a_venue_that_drops_out_bends_no_percentile(five: dict[str, int], gone: str) -> None:
    tell()
    whole = now_of()
    tell(down=gone)
    found = now_of()
    aggregate = found["aggregate"]
    assert found["meta"]["partial"] is True
    assert aggregate["venues_missing"] == [gone]
    assert found["venues_detail"][gone]["null_reason"] == "venue_down"
    left = tuple(venue for venue in PUBLISHED if venue != gone)
    assert list(found["venues"]) == list(left)
    share = 0.0 if gone == "hyperliquid" else OI_USD[gone] / 1e10
    assert aggregate["coverage"] == pytest.approx(1 - share)
    for venue in VENUES:
        if venue != gone:
            before, now = whole["venues_detail"][venue], found["venues_detail"][venue]
            assert now["percentile_30d"] == before["percentile_30d"] is not None
            assert now["z_score"] == before["z_score"]
    rank, _ = slow_context(left, aggregate["value"])
    assert aggregate["percentile_30d"] == pytest.approx(rank, abs=1e-6)


def test_too_little_of_the_market_is_withheld(five: dict[str, int]) -> None:
    tell()
    states = []
    for venue in ("binance", "bybit", "okx"):
        made = LiveState.of(perp(venue, "SOL"))
        made.oi_usd, made.liquidations_since_ms = OI_USD[venue], None
        states.append(made)
    sources = [
        SourceStatus(venue=v, status="down", last_ok_ms=NOW_MS) for v in ("binance", "bybit", "okx")
    ]
    write_live(sync_redis(), states, sources)
    aggregate = now_of()["aggregate"]
    assert aggregate["confidence"] == aggregate["null_reason"] == "withheld"
    assert (aggregate["value"], aggregate["z_score"], aggregate["venues_used"]) == (None, None, [])
    assert aggregate["windows"]["1h"]["null_reason"] == "withheld"


# ---------------------------------------------------------------- context


def slow_context(venues: tuple[str, ...], value: float) -> tuple[float, float]:
    """Percentile and robust z of the hour among rolling hours, one slot at a time."""
    by_slot: Counter[int] = Counter()
    for venue in venues:
        for row in past_events(venue, 0, 32):
            by_slot[row.ts // SLOT] += row.notional_usd  # type: ignore[assignment]  # dollars
    last = NOW_MS // SLOT
    hours = [
        round(sum(by_slot[slot] for slot in range(end - 12, end)), 2)
        for end in range(last - 8640 + 1, last + 1)
    ]
    below = sum(one < value for one in hours)
    equal = sum(one == value for one in hours)
    logs = np.log1p(np.array(hours))
    median = float(np.median(logs))
    mad = float(np.median(np.abs(logs - median)))
    z = (math.log1p(value) - median) / (1.482602218505602 * mad)
    return (below + equal / 2) / len(hours), max(-10.0, min(10.0, z))


def test_context_equals_a_slow_reckoning(five: dict[str, int]) -> None:
    tell()
    found = now_of()
    for venues, block in (
        (PUBLISHED, found["aggregate"]),
        *(((venue,), found["venues_detail"][venue]) for venue in VENUES),
    ):
        rank, z = slow_context(venues, block["value"])
        assert block["samples"] == 8640
        assert block["percentile_30d"] == pytest.approx(rank, abs=1e-6)
        assert block["z_score"] == pytest.approx(z, abs=1e-5)
        assert block["window_kind"] == "rolling_1h_liquidations"
        assert block["thresholds"]["value_from"] <= block["thresholds"]["value_to"]


def test_hours_that_nobody_watched_are_no_samples(market: Market) -> None:
    row_id = list_perp("bybit", "SOL")
    watched(row_id, NOW_MS - 32 * DAY, NOW_MS - 20 * DAY)
    watched(row_id, NOW_MS - 5 * DAY, NOW_MS)
    tell(since_ms=NOW_MS - 5 * DAY)
    block = now_of()["venues_detail"]["bybit"]
    # 15 of 30 days; three minutes of an hour may be missing, which is less than a slot.
    assert block["samples"] == pytest.approx(15 * 288 - 12, abs=2)
    assert block["percentile_30d"] == 0.5
    assert block["interpretation"] == "normal"


def test_a_venue_without_past_is_in_the_sum_but_not_in_the_rank(five: dict[str, int]) -> None:
    tell()
    whole = now_of()["aggregate"]
    assert whole["venues_ranked"] == list(PUBLISHED)
    with connections["market"].cursor() as cursor:
        cursor.execute(
            "UPDATE watch_span SET since = %s WHERE instrument_id = %s",
            [datetime.fromtimestamp((NOW_MS - 2 * DAY) / 1000, tz=UTC), five["okx"]],
        )
    (found,) = build_liquidations(["SOL"], NOW_MS)
    aggregate = found["aggregate"]
    assert aggregate["value"] == whole["value"]
    assert aggregate["venues_ranked"] == ["binance", "bybit", "deribit"]
    assert found["venues_detail"]["okx"]["percentile_30d"] is None
    left = sum(found["venues"][venue] for venue in aggregate["venues_ranked"])
    rank, _ = slow_context(("binance", "bybit", "deribit"), round(left, 2))
    assert aggregate["percentile_30d"] == pytest.approx(rank, abs=1e-6)


def test_a_cold_asset_has_half_hours(market: Market) -> None:
    row_id = list_perp("bybit", "WIF")
    watched(row_id, NOW_MS - 32 * DAY, NOW_MS)
    half = 30 * MINUTE
    end = NOW_MS // half * half
    rows_write([event(row_id, end - n * half + 5, 100.0 + n) for n in range(31 * 48)])
    made = LiveState.of(perp("bybit", "WIF"))
    made.liquidations_since_ms, made.oi_usd = NOW_MS - 32 * DAY, 1e8
    source = SourceStatus(venue="bybit", status="ok", last_ok_ms=NOW_MS)
    write_live(sync_redis(), [made], [source])
    block = now_of("WIF")["venues_detail"]["bybit"]
    # The hour holds two half hours' events: the smallest pair of all.
    assert (block["value"], block["samples"]) == (201.0, 1440)
    assert block["percentile_30d"] == 0.0


def test_all_assets_equal_a_slow_count_of_their_rows(market: Market) -> None:
    """Every asset at two venues; the reference reads the tables by itself, one event at a time."""
    rng = np.random.default_rng(11)
    since, rows, states = NOW_MS - 2 * DAY, [], []
    for asset in ASSETS:
        for venue in ("bybit", "okx"):
            row_id = list_perp(venue, asset)
            watched(row_id, since, NOW_MS)
            moments = rng.integers(NOW_MS - int(1.2 * DAY), NOW_MS, 40).tolist()
            rows += [
                event(row_id, ts, round(float(usd), 2), "long" if ts % 2 else "short", "", venue)
                for ts, usd in zip(moments, rng.lognormal(9, 2, 40), strict=True)
            ]
            made = LiveState.of(perp(venue, asset))
            made.liquidations_since_ms, made.oi_usd = since, 1e8
            states.append(made)
    rows_write(rows)
    sources = [SourceStatus(venue=v, status="ok", last_ok_ms=NOW_MS) for v in ("bybit", "okx")]
    write_live(sync_redis(), states, sources)
    with connections["market"].cursor() as cursor:
        cursor.execute(
            "SELECT i.asset, i.venue, l.ts, l.side, l.notional_usd FROM liquidation l "
            "JOIN instrument i ON i.id = l.instrument_id"
        )
        stored = cursor.fetchall()
    for found in build_liquidations(ASSETS):
        for name, length in LIQUIDATION_WINDOWS.items():
            start = datetime.fromtimestamp((NOW_MS - length) / 1000, tz=UTC)
            mine = [row for row in stored if row[0] == found["asset"] and row[2] >= start]
            # The small market's Binance is not connected.
            mine = [row for row in mine if row[1] != "binance"]
            for scope, block in {"": found["aggregate"], **found["venues_detail"]}.items():
                if scope not in ("", "bybit", "okx"):
                    continue
                sums = {"long": 0.0, "short": 0.0}
                for _, venue, _, side, usd in mine:
                    sums[side] += usd if scope in ("", venue) else 0.0
                window = block["windows"][name]
                assert window["long_usd"] == pytest.approx(sums["long"], abs=0.02)
                assert window["short_usd"] == pytest.approx(sums["short"], abs=0.02)


# ---------------------------------------------------------------- events


def test_the_newest_events_come_first_and_are_bounded(five: dict[str, int]) -> None:
    tell()
    found = now_of()["events"]
    assert len(found) == MAX_EVENTS
    assert [one["ts"] for one in found] == sorted((one["ts"] for one in found), reverse=True)
    every = sorted(
        (row.ts, venue) for venue in VENUES for row in past_events(venue, 0, 2)
    )  # fmt: skip
    assert [one["ts"] for one in found] == [iso_utc(ts) for ts, _ in every[::-1][:MAX_EVENTS]]
    assert {one["side"] for one in found} == {"long", "short"}
    assert all(one["amount_usd"] == pytest.approx(one["qty_base"] * 50) for one in found)


def test_events_older_than_a_day_or_later_than_now_are_not_listed(market: Market) -> None:
    row_id = list_perp("bybit", "SOL")
    tell()
    moments = {"old": NOW_MS - DAY - 1, "first": NOW_MS - DAY, "last": NOW_MS - 1, "coming": NOW_MS}
    rows_write([event(row_id, ts, 10.0, name=name) for name, ts in moments.items()])
    found = now_of()
    assert [one["id"] for one in found["events"]] == ["last", "first"]
    assert found["venues_detail"]["bybit"]["windows"]["24h"]["count"] == 2


# ---------------------------------------------------------------- as_of


def test_as_of_is_what_was_known_then(five: dict[str, int]) -> None:
    moment = NOW_MS - 6 * HOUR
    (before,) = build_liquidations(["SOL"], moment)
    hour = [
        row
        for venue in PUBLISHED
        for row in past_events(venue, 0, 2)
        if moment - HOUR <= row.ts < moment
    ]
    assert before["aggregate"]["value"] == pytest.approx(
        sum(r.notional_usd for r in hour), abs=0.02
    )
    assert before["aggregate"]["samples"] == 8640
    assert before["meta"]["as_of"] == iso_utc(moment)
    assert before["venues_detail"]["bybit"]["watched_since"] == iso_utc(NOW_MS - 32 * DAY)
    # What arrives later changes nothing, even where it is about the time before.
    late = [event(five["bybit"], moment - n * MINUTE, 1e6, known_at=moment + 1) for n in range(9)]
    rows_write([*late, event(five["okx"], moment + 5, 1e6, venue="okx")])
    assert build_liquidations(["SOL"], moment) == [before]


def test_as_of_equals_what_was_served_then(five: dict[str, int]) -> None:
    """Prefix invariance: with only the rows known by then in the tables, the answer was the same."""
    tell()
    served = now_of()
    (again,) = build_liquidations(["SOL"], NOW_MS)
    for name in ("value", "percentile_30d", "z_score", "windows", "samples", "reference"):
        # Until five seconds ago is stored; live state knew the rest.
        if name == "windows":
            for window, block in served["aggregate"][name].items():
                if window != "1m":
                    assert block["total_usd"] == again["aggregate"][name][window]["total_usd"]
        else:
            assert served["aggregate"][name] == again["aggregate"][name]
    assert served["events"] == again["events"]


def test_before_anything_was_watched_nothing_is_known(five: dict[str, int]) -> None:
    (found,) = build_liquidations(["SOL"], NOW_MS - 33 * DAY)
    assert (found["aggregate"]["value"], found["events"]) == (None, [])
    assert found["aggregate"]["null_reason"] == "no_data"


def test_assets_of_both_tiers_keep_the_order_of_the_question(five: dict[str, int]) -> None:
    tell()
    found = build_liquidations(["WIF", "SOL", "TRX", "BTC"])
    assert [one["asset"] for one in found] == ["WIF", "SOL", "TRX", "BTC"]
    assert found[1]["aggregate"] == now_of()["aggregate"]


# ---------------------------------------------------------------- history: sums


def body(response: Any) -> Any:
    return orjson.loads(b"".join(response.streaming_content))


def test_history_sums_each_interval(five: dict[str, int], api: Api) -> None:
    tell()
    end = NOW_MS // HOUR * HOUR
    page = body(api.get(LIQUIDATIONS, {"asset": "SOL", "from": end - 3 * HOUR, "to": end}))
    assert (page["interval"], page["meta"]["count"], page["next_cursor"]) == ("1h", 3, None)
    assert page["meta"]["venues"] == list(VENUES)
    for number, row in enumerate(page["data"]):
        start = end - (3 - number) * HOUR
        assert (row["ts"], row["closed"]) == (iso_utc(start), True)
        assert list(row["venues"]) == list(PUBLISHED)
        for venue in VENUES:
            rows = [r for r in past_events(venue, 0, 2) if start <= r.ts < start + HOUR]
            cell = row["venues_detail"][venue]
            usd = [r.notional_usd for r in rows]
            longs = [r.notional_usd for r in rows if r.side == "long"]
            assert cell["total_usd"] == pytest.approx(sum(usd), abs=0.01)
            assert cell["long_usd"] == pytest.approx(sum(longs), abs=0.01)
            assert (cell["count"], cell["coverage"]) == (len(rows), 1.0)
            assert cell["largest_usd"] == (max(usd) if usd else None)
        total = row["aggregate"]
        assert total["total_usd"] == pytest.approx(sum(row["venues"].values()), abs=0.02)
        assert total["venues"] == list(PUBLISHED)


def test_an_interval_that_was_watched_and_quiet_is_a_zero(market: Market, api: Api) -> None:
    row_id = list_perp("bybit", "SOL")
    start = NOW_MS // HOUR * HOUR - 10 * HOUR
    watched(row_id, start + HOUR, start + 3 * HOUR + 30 * MINUTE)
    rows_write([event(row_id, start + 3 * HOUR, 5.0), event(row_id, start + 6 * HOUR, 7.0)])
    rows = body(api.get(LIQUIDATIONS, {"asset": "SOL", "from": start, "to": NOW_MS}))["data"]
    assert [row["ts"] for row in rows] == [iso_utc(start + n * HOUR) for n in (1, 2, 3, 6)]
    assert [row["venues"].get("bybit") for row in rows] == [0.0, 0.0, None, None]
    half, unseen = (row["venues_detail"]["bybit"] for row in rows[2:])
    assert (half["observed_usd"], half["coverage"]) == (5.0, 0.5)
    assert (unseen["observed_usd"], unseen["coverage"]) == (7.0, 0.0)
    assert half["null_reason"] == unseen["null_reason"] == "insufficient_history"
    quiet = rows[0]["venues_detail"]["bybit"]
    assert (quiet["count"], quiet["imbalance"], quiet["null_reason"]) == (0, None, "no_data")


def test_the_interval_in_the_making_is_as_long_as_it_lasted(five: dict[str, int], api: Api) -> None:
    tell()
    rows = body(api.get(LIQUIDATIONS, {"asset": "SOL", "from": NOW_MS - 2 * HOUR}))["data"]
    assert [row["closed"] for row in rows] == [True] * (len(rows) - 1) + [False]
    assert rows[-1]["venues_detail"]["okx"]["coverage"] == 1.0
    assert rows[-1]["aggregate"]["total_usd"] is not None


@pytest.mark.parametrize("interval", ["1m", "5m", "15m", "30m", "1h", "4h", "1d"])
def test_every_interval_adds_up_to_the_same(five: dict[str, int], api: Api, interval: str) -> None:
    end = NOW_MS // DAY * DAY
    query = {"asset": "SOL", "interval": interval, "from": end - DAY, "to": end, "limit": 5000}
    rows = body(api.get(LIQUIDATIONS, query))["data"]
    total = sum(row["venues"]["okx"] for row in rows)
    events = [r for r in past_events("okx", 0, 3) if end - DAY <= r.ts < end]
    assert total == pytest.approx(sum(r.notional_usd for r in events), abs=0.5)
    assert sum(row["venues_detail"]["okx"]["count"] for row in rows) == len(events)


def test_history_knows_only_what_was_known(five: dict[str, int], api: Api) -> None:
    start = NOW_MS // HOUR * HOUR - 3 * HOUR
    for interval in ("1h", "event"):
        query = {"asset": "SOL", "from": start, "as_of": start + HOUR, "interval": interval}
        before = body(api.get(LIQUIDATIONS, query))
        late = event(five["deribit"], start + MINUTE, 1e6, known_at=NOW_MS, name=f"late {interval}")
        rows_write([late])
        assert body(api.get(LIQUIDATIONS, query)) == before
    assert len(before["data"]) == len(
        [
            row
            for venue in VENUES
            for row in past_events(venue, 0, 2)
            if start <= row.ts and row.known_at <= start + HOUR
        ]
    )


# ---------------------------------------------------------------- history: events


def pages(api: Api, query: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    query = dict(query)
    while True:
        page = body(api.get(LIQUIDATIONS, query))
        yield page["data"]
        if page["next_cursor"] is None:
            return
        query["cursor"] = page["next_cursor"]


def test_events_are_listed_as_they_are_stored(five: dict[str, int], api: Api) -> None:
    query = {"asset": "SOL", "interval": "event", "from": NOW_MS - 2 * HOUR, "to": NOW_MS - HOUR}
    page = body(api.get(LIQUIDATIONS, query))
    expected = sorted(
        (row.ts, VENUES.index(venue), row.notional_usd, row.side)
        for venue in VENUES
        for row in past_events(venue, 0, 2)
        if NOW_MS - 2 * HOUR <= row.ts < NOW_MS - HOUR
    )
    found = [(one["ts"], one["venue"], one["amount_usd"], one["side"]) for one in page["data"]]
    assert found == [(iso_utc(ts), VENUES[at], usd, side) for ts, at, usd, side in expected]
    assert (page["interval"], page["meta"]["interval_seconds"]) == ("event", 0)
    assert {one["quality"] for one in page["data"]} <= {
        "full", "sampled", "partial", "estimated",
    }  # fmt: skip
    only = body(api.get(LIQUIDATIONS, query | {"venue": "okx"}))["data"]
    assert only == [one for one in page["data"] if one["venue"] == "okx"]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    crowd=st.lists(st.tuples(st.sampled_from(VENUES), st.integers(0, 3)), max_size=30),
    arrivals=st.lists(st.integers(0, 3), max_size=6),
)
def test_events_of_one_millisecond_are_neither_lost_nor_repeated(
    five: dict[str, int],
    unlimited: Api,
    sizes: list[int],
    crowd: list[tuple[str, int]],
    arrivals: list[int],
) -> None:
    """Any page size, many events in the same few milliseconds, others stored between the pages."""
    start = NOW_MS - 40 * DAY + int.from_bytes(np.random.default_rng().bytes(3)) * 10
    rows_write(
        [
            event(five[venue], start + ms, 10.0 + at, name=f"{start}:{at:03}", venue=venue)
            for at, (venue, ms) in enumerate(crowd)
        ]
    )
    query: dict[str, Any] = {"asset": "SOL", "interval": "event", "from": start, "to": start + 4}
    there = {one["id"] for one in body(unlimited.get(LIQUIDATIONS, query))["data"]}
    assert len(there) == len(crowd)
    found: list[str] = []
    number = 0
    while True:
        query["limit"] = sizes[number % len(sizes)]
        page = body(unlimited.get(LIQUIDATIONS, query))
        found += [one["id"] for one in page["data"]]
        if number < len(arrivals):
            name = f"{start}:late{number}"
            rows_write([event(five["bybit"], start + arrivals[number], 1.0, name=name)])
        number += 1
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert len(found) == len(set(found))
    assert there <= set(found)


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_pages_of_sums_lose_and_repeat_nothing(five: dict[str, int], api: Api, limit: int) -> None:
    start = NOW_MS // HOUR * HOUR - 20 * HOUR
    query: dict[str, Any] = {"asset": "SOL", "from": start, "to": NOW_MS - HOUR, "limit": limit}
    (whole,) = pages(api, query | {"limit": 5000})
    found: list[Any] = []
    for page in pages(api, query):
        found += page
        # Rows written meanwhile, before and behind the cursor, shift nothing.
        rows_write([event(five["deribit"], start - HOUR - len(found), 1.0, venue="deribit")])
    assert found == whole
    assert len(found) == 20


def test_a_cursor_of_sums_is_none_of_events(five: dict[str, int], api: Api) -> None:
    query = {"asset": "SOL", "from": NOW_MS - DAY, "limit": 1}
    sums = body(api.get(LIQUIDATIONS, query))["next_cursor"]
    events = body(api.get(LIQUIDATIONS, query | {"interval": "event"}))["next_cursor"]
    for cursor, interval in ((sums, "event"), (events, "1h")):
        wrong = api.get(LIQUIDATIONS, {"asset": "SOL", "cursor": cursor, "interval": interval})
        assert (wrong.status_code, wrong.json()["param"]) == (400, "cursor")


def test_csv_and_ndjson_hold_the_rows_of_the_json(five: dict[str, int], api: Api) -> None:
    for interval, columns in (("1h", ("venue", "total_usd")), ("event", ("id", "amount_usd"))):
        query = {"asset": "SOL", "from": NOW_MS - 3 * HOUR, "interval": interval}
        rows = body(api.get(LIQUIDATIONS, query))["data"]
        lines = b"".join(api.get(LIQUIDATIONS, query | {"format": "ndjson"}).streaming_content)
        assert [orjson.loads(line) for line in lines.splitlines()] == rows
        text = b"".join(api.get(LIQUIDATIONS, query | {"format": "csv"}).streaming_content)
        records = list(csv.DictReader(io.StringIO(text.decode())))
        assert {one["asset"] for one in records} == {"SOL"}
        if interval == "event":
            assert [one["id"] for one in records] == [row["id"] for row in rows]
            assert [float(one[columns[1]]) for one in records] == [r["amount_usd"] for r in rows]
        else:
            assert [one["venue"] for one in records[:6]] == ["aggregate", *VENUES]
            assert float(records[0]["total_usd"]) == rows[0]["aggregate"]["total_usd"]


# ---------------------------------------------------------------- REST


@pytest.fixture
def sol(five: dict[str, int]) -> None:
    tell()
    store.publish_many(refresh_liquidations(["SOL"], NOW_MS))


def test_current_over_rest_in_three_formats(sol: None, api: Api) -> None:
    found = api.get(LIQUIDATIONS, "asset=SOL").json()
    assert found["aggregate"] == now_of()["aggregate"]
    lines = api.get(LIQUIDATIONS, "assets=SOL&format=ndjson").content.splitlines()
    assert [orjson.loads(line) for line in lines] == [found]
    text = api.get(LIQUIDATIONS, "asset=SOL&format=csv").content.decode()
    records = list(csv.DictReader(io.StringIO(text)))
    scopes = ["aggregate", *VENUES]
    assert [(one["venue"], one["window"]) for one in records] == [
        (scope, window) for scope in scopes for window in LIQUIDATION_WINDOWS
    ]
    hour = found["aggregate"]["windows"]["1h"]
    assert float(records[1]["total_usd"]) == hour["total_usd"] == float(records[1]["value"])
    assert float(records[1]["percentile_30d"]) == found["aggregate"]["percentile_30d"]
    assert float(records[1]["largest_usd"]) == hour["largest"]["amount_usd"]
    assert records[0]["value"] == ""


def test_one_venue_is_its_own_aggregate(sol: None, api: Api) -> None:
    whole = api.get(LIQUIDATIONS, "asset=SOL").json()
    own = whole["venues_detail"]["okx"]
    found = api.get(LIQUIDATIONS, "asset=SOL&venue=okx").json()
    assert found["venues"] == {"okx": own["value"]}
    for name in ("value", "percentile_30d", "z_score", "state", "windows"):
        assert found["aggregate"][name] == own[name]
    assert found["aggregate"]["venues_ranked"] == ["okx"]
    assert found["events"] == [one for one in whole["events"] if one["venue"] == "okx"]


def test_the_aggregate_can_be_left_out(five: dict[str, int], sol: None, api: Api) -> None:
    assert "aggregate" not in api.get(LIQUIDATIONS, "asset=SOL&aggregate=false").json()
    query = {"asset": "SOL", "from": NOW_MS - 3 * HOUR, "aggregate": 0}
    assert all("aggregate" not in row for row in body(api.get(LIQUIDATIONS, query))["data"])


def test_the_listing_and_its_watch_are_named(sol: None, api: Api) -> None:
    detail = api.get(LIQUIDATIONS, "asset=SOL").json()["venues_detail"]["okx"]
    assert (detail["symbol"], detail["watched_since"]) == ("SOLUSDT", iso_utc(NOW_MS - 32 * DAY))
    newest = past_events("okx", 0, 2)[0].ts
    assert detail["last_event_at"] == iso_utc(newest)
