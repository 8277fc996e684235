"""Open interest over REST and as snapshots: sums, changes, context; a venue that goes is no fall."""

from __future__ import annotations

import csv
import io
import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest

from apps.core.clock import iso_utc
from apps.core.redis import sync_redis
from apps.marketdata.live import LiveState, SourceStatus, write_live
from apps.marketdata.rows import OpenInterestRow
from apps.marketdata.services import instruments_sync
from apps.marketdata.universe import VENUES
from apps.marketdata.writers import rows_write
from apps.markets.contracts_open_interest import OPEN_INTEREST_METRIC
from apps.markets.snapshots import build_open_interest, refresh_open_interest
from apps.snapshots import store
from tests.markets.conftest import OPEN_INTEREST, Api
from tests.markets.world import DAY, HOUR, NOW_MS, Market, bar, perp

pytestmark = pytest.mark.django_db(databases=["default", "market"])
MINUTE = 60_000
SLOT = 5 * MINUTE
PRICE = 50.0
USD = {"binance": 5e9, "bybit": 2e9, "okx": 2e9, "deribit": 5e8, "hyperliquid": 5e8}
"""Typical open interest of SOL (HOT)."""
WITH_PAST = ("binance", "bybit", "okx")


def past_usd(venue: str, ts: int) -> float:
    """Three waves, of one, five and eleven days, so that levels and changes both vary."""
    days = ts / DAY
    wave = math.sin(2 * math.pi * days) + math.sin(2 * math.pi * days / 5)
    wave += (1 + VENUES.index(venue)) * math.sin(2 * math.pi * days / 11)
    return round(USD[venue] * (1 + 0.05 * wave), 2)


def sample(row_id: int, ts: int, usd: float, known_at: int | None = None) -> OpenInterestRow:
    known = ts if known_at is None else known_at
    return OpenInterestRow(row_id, ts, known, usd / PRICE * 10, usd / PRICE, usd, "venue")


def list_perp(venue: str, asset: str) -> int:
    listed = perp(venue, asset)
    now = datetime.fromtimestamp((NOW_MS - 40 * DAY) / 1000, tz=UTC)
    synced = instruments_sync(venue=venue, listed=[listed], assets={asset}, now=now)
    return synced.ids[listed.key]


@pytest.fixture
def five(market: Market) -> dict[str, int]:
    """SOL on five venues; three of them with 31 days of samples every five minutes."""
    ids = {venue: list_perp(venue, "SOL") for venue in VENUES}
    first = NOW_MS // SLOT * SLOT - 31 * DAY - HOUR
    for venue in WITH_PAST:
        moments = range(first, NOW_MS, SLOT)
        rows_write([sample(ids[venue], ts, past_usd(venue, ts)) for ts in moments])
    return ids


def state(venue: str, usd: float, age_ms: int = 1000, asset: str = "SOL") -> LiveState:
    made = LiveState.of(perp(venue, asset))
    made.oi_usd, made.oi_base, made.oi_contracts = usd, usd / PRICE, usd / PRICE * 10
    made.mark_price, made.oi_ts_ms = PRICE, NOW_MS - age_ms
    made.ts_recv_ms = NOW_MS - age_ms
    return made


def tell(down: str | None = None, **usd: float) -> None:
    sources = [
        SourceStatus(venue=v, status="down" if v == down else "ok", last_ok_ms=NOW_MS - 500)
        for v in VENUES
    ]
    states = [state(venue, usd.get(venue, USD[venue])) for venue in VENUES]
    write_live(sync_redis(), states, sources)


def now_of(asset: str = "SOL") -> Any:
    (found,) = build_open_interest([asset])
    return found


def test_the_sum_over_venues_one_side_in_dollars_and_coins(five: dict[str, int]) -> None:
    tell()
    found = now_of()
    aggregate = found["aggregate"]
    assert found["venues"] == USD
    assert (aggregate["value"], aggregate["unit"]) == (1e10, "usd")
    assert aggregate["oi_base"] == 1e10 / PRICE
    assert (aggregate["coverage"], aggregate["confidence"]) == (1.0, "full")
    for venue, detail in found["venues_detail"].items():
        assert detail["share"] == USD[venue] / 1e10
        assert detail["oi_contracts"] == detail["oi_base"] * 10
        # oi_usd ≈ oi_base × mark.
        assert detail["value"] == pytest.approx(detail["oi_base"] * detail["mark_price"], rel=1e-3)
    assert sum(one["share"] for one in found["venues_detail"].values()) == pytest.approx(1)
    assert found["meta"]["metric"] == OPEN_INTEREST_METRIC
    assert found["meta"]["partial"] is False


def _reference(venues: tuple[str, ...]) -> tuple[list[float], list[float]]:
    """Levels and 24-hour log changes of the sum, slot by slot: what was known at each slot's end."""
    end = NOW_MS // SLOT * SLOT

    def level(slot_end: int) -> float:
        # A sample at the very end of a slot belongs to the next one.
        return sum(past_usd(venue, slot_end - SLOT) for venue in venues)

    ends = [end - n * SLOT for n in range(8640)]
    levels = [level(one) for one in ends]
    return levels, [math.log(level(one) / level(one - DAY)) for one in ends]


def test_context_equals_a_slow_reckoning(five: dict[str, int]) -> None:
    tell()
    found = now_of()
    for venues, block in (
        (WITH_PAST, found["aggregate"]),
        (("bybit",), found["venues_detail"]["bybit"]),
    ):
        levels, changes = _reference(venues)
        current = sum(USD[venue] for venue in venues)
        below = sum(one < current for one in levels)
        equal = sum(one == current for one in levels)
        assert block["samples"] == 8640
        assert block["percentile_30d"] == pytest.approx((below + equal / 2) / 8640, abs=1e-6)
        day_ago = sum(past_usd(venue, (NOW_MS - DAY) // SLOT * SLOT) for venue in venues)
        median = float(np.median(changes))
        mad = float(np.median(np.abs(np.array(changes) - median)))
        expected = (math.log(current / day_ago) - median) / (1.482602218505602 * mad)
        assert block["z_score"] == pytest.approx(max(-10.0, min(10.0, expected)), abs=1e-6)
        assert "null_reason" not in block or block is found["aggregate"]
    assert found["aggregate"]["venues_ranked"] == list(WITH_PAST)
    assert set(found["aggregate"]["venues_used"]) == set(VENUES)


def test_changes_are_over_venues_known_at_both_moments(five: dict[str, int]) -> None:
    tell()
    found = now_of()
    for name, span in (("1h", HOUR), ("24h", DAY)):
        since = (NOW_MS - span) // SLOT * SLOT
        then = {venue: past_usd(venue, since) for venue in WITH_PAST}
        change = found["aggregate"]["changes"][name]
        difference = sum(USD[venue] - then[venue] for venue in WITH_PAST)
        assert change["venues"] == list(WITH_PAST)
        assert change["since"] == iso_utc(since)
        assert change["change_usd"] == pytest.approx(difference, abs=0.01)
        percent = 100 * difference / sum(then.values())
        assert change["change_percent"] == pytest.approx(percent, abs=1e-6)
        assert change["change_base"] == pytest.approx(difference / PRICE, abs=1e-3)
        assert change["change_base_percent"] == pytest.approx(percent, abs=1e-4)
        own = found["venues_detail"]["okx"]["changes"][name]
        assert own["change_usd"] == pytest.approx(USD["okx"] - then["okx"], abs=0.01)


def test_a_venue_without_a_past_is_null_with_its_reason(five: dict[str, int]) -> None:
    tell()
    detail = now_of()["venues_detail"]["deribit"]
    assert detail["value"] == USD["deribit"]
    assert (detail["percentile_30d"], detail["z_score"], detail["state"]) == (None, None, None)
    assert detail["interpretation"] == detail["null_reason"] == "insufficient_history"
    assert detail["changes"]["24h"] == {
        "change_usd": None,
        "change_percent": None,
        "change_base": None,
        "change_base_percent": None,
        "since": None,
        "venues": [],
        "null_reason": "insufficient_history",
    }


@pytest.mark.parametrize("gone", VENUES)
def test_a_venue_that_drops_out_is_no_fall(five: dict[str, int], gone: str) -> None:
    tell()
    whole = now_of()
    tell(down=gone)
    found = now_of()
    aggregate = found["aggregate"]
    assert found["meta"]["partial"] is True
    assert aggregate["venues_missing"] == [gone]
    assert aggregate["value"] == 1e10 - USD[gone]
    assert aggregate["coverage"] == pytest.approx(1 - USD[gone] / 1e10, abs=0.02)
    assert found["venues_detail"][gone]["null_reason"] == "venue_down"
    assert found["venues_detail"][gone]["share"] is None
    for venue in VENUES:
        if venue != gone:
            before, now = whole["venues_detail"][venue], found["venues_detail"][venue]
            assert now["percentile_30d"] == before["percentile_30d"]
            assert now["z_score"] == before["z_score"]
    # Ranked in the past of the venues that are left, not in that of all.
    left = tuple(venue for venue in WITH_PAST if venue != gone)
    current, (levels, _) = sum(USD[venue] for venue in left), _reference(left)
    rank = (sum(one < current for one in levels) + sum(one == current for one in levels) / 2) / 8640
    assert aggregate["percentile_30d"] == pytest.approx(rank, abs=1e-6)
    assert gone not in aggregate["changes"]["24h"]["venues"]


def test_too_little_of_the_market_is_withheld(five: dict[str, int]) -> None:
    tell()
    old = [state(venue, USD[venue], age_ms=HOUR) for venue in ("binance", "bybit", "okx")]
    write_live(sync_redis(), old)
    aggregate = now_of()["aggregate"]
    assert aggregate["confidence"] == aggregate["null_reason"] == "withheld"
    assert (aggregate["value"], aggregate["oi_base"], aggregate["z_score"]) == (None, None, None)
    assert aggregate["changes"]["24h"]["null_reason"] == "withheld"


def test_a_stale_number_is_not_counted(five: dict[str, int]) -> None:
    tell()
    # HOT: fresh for two minutes, worth less until six, then nothing.
    write_live(sync_redis(), [state("okx", 2e9, age_ms=240_000)])
    worth_less = now_of()["aggregate"]
    assert worth_less["value"] == 1e10
    assert 0.8 < worth_less["coverage"] < 0.97
    write_live(sync_redis(), [state("okx", 2e9, age_ms=361_000)])
    found = now_of()
    assert found["aggregate"]["value"] == 8e9
    assert found["venues_detail"]["okx"]["null_reason"] == "stale"


def test_a_cold_asset_has_hourly_past(market: Market) -> None:
    row_id = list_perp("binance", "WIF")
    end = NOW_MS // HOUR * HOUR + HOUR // 2
    rows_write([sample(row_id, end - n * HOUR, 1e8 + n * 1e4) for n in range(1, 24 * 31 + 2)])
    sources = [SourceStatus(venue="binance", status="ok", last_ok_ms=NOW_MS)]
    write_live(sync_redis(), [state("binance", 1e8, age_ms=300_000, asset="WIF")], sources)
    found = now_of("WIF")
    block = found["venues_detail"]["binance"]
    assert (block["samples"], block["percentile_30d"]) == (1440, 0.0)
    assert block["changes"]["24h"]["since"] == iso_utc(end - DAY - HOUR)
    # An hour-old sample would make it the change of almost two.
    assert block["changes"]["1h"]["null_reason"] == "insufficient_history"


def test_a_past_in_coins_is_valued_at_the_price_of_then(market: Market, api: Api) -> None:
    """Bybit's past: coins alone. Bars of 30 minutes say what a coin was worth."""
    row_id = list_perp("bybit", "WIF")
    end = NOW_MS // HOUR * HOUR
    moments = [end - n * HOUR for n in range(24 * 31 + 2)]
    rows_write([sample(row_id, ts, 1e8)._replace(oi_usd=None) for ts in moments])
    step = HOUR // 2
    rows_write(
        [
            bar(row_id, ts - step, 1800, 1.0, 1.0)._replace(close=40.0 + (end - ts) / DAY)
            for ts in range(end - 32 * DAY, end + 1, step)
            # For two hours of the second last day nothing traded.
            if not end - 30 * HOUR < ts <= end - 28 * HOUR
        ]
    )
    sources = [SourceStatus(venue="bybit", status="ok", last_ok_ms=NOW_MS)]
    write_live(sync_redis(), [state("bybit", 1e8, asset="WIF")], sources)
    block = now_of("WIF")["venues_detail"]["bybit"]
    # 2,000,000 coins; their price fell from 70 to 40, and is 50 in the live number.
    assert block["changes"]["24h"]["change_usd"] == pytest.approx(1e8 - 2e6 * 41.0, abs=1)
    assert block["changes"]["24h"]["change_base"] == 0.0
    assert block["percentile_30d"] == pytest.approx(10 / 30, abs=0.01)
    query = {"asset": "WIF", "from": end - 31 * HOUR, "to": end - 26 * HOUR}
    rows = body(api.get(OPEN_INTEREST, query))["data"]
    values = [row["venues"].get("bybit") for row in rows]
    expected = [40 + 31 / 24, 40 + 30 / 24, 40 + 30 / 24, None, 40 + 27 / 24]
    assert values == [one if one is None else pytest.approx(2e6 * one) for one in expected]
    assert rows[3]["venues_detail"]["bybit"]["null_reason"] == "no_data"


def test_no_venue_lists_it(market: Market) -> None:
    (found,) = build_open_interest(["FLOKI"])
    assert (found["venues"], found["venues_detail"]) == ({}, {})
    assert found["aggregate"]["value"] is None
    assert found["aggregate"]["null_reason"] in ("no_data", "not_listed")


def test_as_of_is_what_was_known_then(five: dict[str, int]) -> None:
    moment = NOW_MS - 6 * HOUR
    (before,) = build_open_interest(["SOL"], moment)
    last = moment // SLOT * SLOT
    assert before["venues"] == {venue: past_usd(venue, last) for venue in WITH_PAST}
    assert before["aggregate"]["changes"]["24h"]["since"] == iso_utc(last - DAY)
    assert before["aggregate"]["samples"] == 8640
    assert before["meta"]["as_of"] == iso_utc(moment)
    # What arrives later changes nothing, even where it is about the time before.
    late = [sample(five["deribit"], last - n * SLOT, 9e9, known_at=moment + 1) for n in range(20)]
    rows_write([*late, sample(five["binance"], moment + 1, 1.0)])
    assert build_open_interest(["SOL"], moment) == [before]


def test_assets_of_both_tiers_keep_the_order_of_the_question(five: dict[str, int]) -> None:
    tell()
    found = build_open_interest(["WIF", "SOL", "TRX", "BTC"])
    assert [one["asset"] for one in found] == ["WIF", "SOL", "TRX", "BTC"]
    assert found[1]["aggregate"] == now_of()["aggregate"]


# ---------------------------------------------------------------- history


def body(response: Any) -> Any:
    return orjson.loads(b"".join(response.streaming_content))


def test_history_is_the_last_sample_of_each_interval(five: dict[str, int], api: Api) -> None:
    end = NOW_MS // HOUR * HOUR
    page = body(api.get(OPEN_INTEREST, {"asset": "SOL", "from": end - 3 * HOUR, "to": end}))
    assert (page["interval"], page["meta"]["count"], page["next_cursor"]) == ("1h", 3, None)
    assert page["meta"]["venues"] == list(VENUES)
    for number, row in enumerate(page["data"]):
        last = end - (3 - number) * HOUR + HOUR - SLOT
        assert row["ts"] == iso_utc(last + SLOT - HOUR)
        assert row["closed"] is True
        assert row["venues"] == {venue: past_usd(venue, last) for venue in WITH_PAST}
        assert row["venues_detail"]["okx"]["sampled_at"] == iso_utc(last)
        total = sum(past_usd(venue, last) for venue in WITH_PAST)
        assert row["aggregate"]["value"] == pytest.approx(total, abs=0.01)
        assert row["aggregate"]["venues_missing"] == ["deribit", "hyperliquid"]
        assert row["venues_detail"]["okx"]["oi_base"] == row["venues"]["okx"] / PRICE


def test_a_sample_is_carried_while_it_is_valid(market: Market, api: Api) -> None:
    """One venue samples every five minutes, the other hourly: within 15 minutes both add up."""
    start = NOW_MS // HOUR * HOUR - 6 * HOUR
    quick, slow = list_perp("okx", "SOL"), list_perp("bybit", "SOL")
    rows_write([sample(quick, start + n * SLOT, 1e9) for n in range(12)])
    rows_write([sample(slow, start, 5e8)])
    query = {"asset": "SOL", "interval": "5m", "from": start, "to": start + HOUR}
    rows = body(api.get(OPEN_INTEREST, query))["data"]
    assert [row["aggregate"]["value"] for row in rows] == [1.5e9] * 3 + [1e9] * 9
    assert rows[2]["venues_detail"]["bybit"]["sampled_at"] == iso_utc(start)
    assert "bybit" not in rows[3]["venues"]
    # Of the whole hour it was there, but not at its end.
    (hour,) = body(api.get(OPEN_INTEREST, query | {"interval": "1h"}))["data"]
    assert hour["venues"] == {"bybit": 5e8, "okx": 1e9}
    assert hour["aggregate"]["venues_used"] == ["okx"]


def test_no_young_sample_no_sum(market: Market, api: Api) -> None:
    start = NOW_MS // DAY * DAY - 2 * DAY
    row_id = list_perp("okx", "SOL")
    rows_write([sample(row_id, start, 1e9), sample(row_id, start + 40 * HOUR, 2e9)])
    query = {"asset": "SOL", "interval": "1d", "from": start, "to": start + DAY}
    (row,) = body(api.get(OPEN_INTEREST, query))["data"]
    assert (row["aggregate"]["value"], row["aggregate"]["null_reason"]) == (None, "stale")
    assert row["venues"] == {"okx": 1e9}


def test_the_interval_in_the_making_is_open(five: dict[str, int], api: Api) -> None:
    query = {"asset": "SOL", "interval": "4h", "from": NOW_MS - 8 * HOUR}
    rows = body(api.get(OPEN_INTEREST, query))["data"]
    assert [row["closed"] for row in rows] == [True, False] or not rows[-1]["closed"]
    last = NOW_MS // SLOT * SLOT
    assert rows[-1]["venues"]["okx"] == past_usd("okx", last)
    assert rows[-1]["aggregate"]["venues_used"] == list(WITH_PAST)


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_pages_lose_and_repeat_nothing(five: dict[str, int], api: Api, limit: int) -> None:
    start = NOW_MS // HOUR * HOUR - 20 * HOUR
    query: dict[str, Any] = {"asset": "SOL", "from": start, "to": NOW_MS, "limit": limit}
    whole = body(api.get(OPEN_INTEREST, query | {"limit": 5000}))["data"]
    found: list[Any] = []
    while True:
        page = body(api.get(OPEN_INTEREST, query))
        found += page["data"]
        if page["next_cursor"] is None:
            break
        # Rows written meanwhile, before and behind the cursor, shift nothing.
        rows_write([sample(five["deribit"], start - HOUR - len(found), 1.0)])
        query["cursor"] = page["next_cursor"]
    assert found == whole
    assert len(found) == 21


def test_history_knows_only_what_was_known(five: dict[str, int], api: Api) -> None:
    start = NOW_MS // HOUR * HOUR - 3 * HOUR
    query = {"asset": "SOL", "from": start, "as_of": start + HOUR}
    before = body(api.get(OPEN_INTEREST, query))
    rows_write([sample(five["deribit"], start + MINUTE, 1e9, known_at=NOW_MS)])
    assert body(api.get(OPEN_INTEREST, query)) == before
    assert (
        "deribit"
        in body(api.get(OPEN_INTEREST, {"asset": "SOL", "from": start}))["data"][0]["venues"]
    )


def test_csv_and_ndjson_hold_the_rows_of_the_json(five: dict[str, int], api: Api) -> None:
    query = {"asset": "SOL", "from": NOW_MS // HOUR * HOUR - 2 * HOUR}
    rows = body(api.get(OPEN_INTEREST, query))["data"]
    lines = b"".join(api.get(OPEN_INTEREST, query | {"format": "ndjson"}).streaming_content)
    assert [orjson.loads(line) for line in lines.splitlines()] == rows
    text = b"".join(api.get(OPEN_INTEREST, query | {"format": "csv"}).streaming_content).decode()
    records = list(csv.DictReader(io.StringIO(text)))
    assert [one["venue"] for one in records[:4]] == ["aggregate", *WITH_PAST]
    assert float(records[0]["value"]) == rows[0]["aggregate"]["value"]
    assert records[1]["sampled_at"] == rows[0]["venues_detail"]["binance"]["sampled_at"]


# ---------------------------------------------------------------- REST


@pytest.fixture
def sol(five: dict[str, int]) -> None:
    tell()
    store.publish_many(refresh_open_interest(["SOL"], NOW_MS))


def test_current_over_rest_in_three_formats(sol: None, api: Api) -> None:
    found = api.get(OPEN_INTEREST, "asset=SOL").json()
    assert found["aggregate"] == now_of()["aggregate"]
    lines = api.get(OPEN_INTEREST, "assets=SOL&format=ndjson").content.splitlines()
    assert [orjson.loads(line) for line in lines] == [found]
    text = api.get(OPEN_INTEREST, "asset=SOL&format=csv").content.decode()
    records = list(csv.DictReader(io.StringIO(text)))
    assert [one["venue"] for one in records] == ["aggregate", *VENUES]
    change = found["aggregate"]["changes"]["24h"]
    assert float(records[0]["change_24h_usd"]) == change["change_usd"]
    assert float(records[0]["change_24h_percent"]) == change["change_percent"]
    assert float(records[1]["share"]) == 0.5
    assert records[4]["change_1h_usd"] == ""


def test_one_venue_is_its_own_aggregate(sol: None, api: Api) -> None:
    whole = api.get(OPEN_INTEREST, "asset=SOL").json()["venues_detail"]["okx"]
    found = api.get(OPEN_INTEREST, "asset=SOL&venue=okx").json()
    assert found["venues"] == {"okx": 2e9}
    for name in ("value", "percentile_30d", "z_score", "changes", "oi_base"):
        assert found["aggregate"][name] == whole[name]
    assert found["aggregate"]["venues_ranked"] == ["okx"]


def test_the_listing_and_its_age_are_named(sol: None, api: Api) -> None:
    detail = api.get(OPEN_INTEREST, "asset=SOL").json()["venues_detail"]["okx"]
    assert (detail["symbol"], detail["age_seconds"]) == ("SOLUSDT", 1.0)
    assert detail["updated_at"] == iso_utc(NOW_MS - 1000)
