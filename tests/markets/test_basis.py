"""Basis over REST and as snapshots: perpetuals over venues, the curve of dated futures, the past."""

from __future__ import annotations

import csv
import io
import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest
from django.db import connections

from apps.core.clock import iso_utc
from apps.core.redis import sync_redis
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.live import LiveState, SourceStatus, write_live
from apps.marketdata.rows import BasisRow, OpenInterestRow
from apps.marketdata.services import instruments_sync
from apps.marketdata.universe import VENUES
from apps.marketdata.writers import rows_write
from apps.markets.contracts_basis import BASIS_METRIC
from apps.markets.snapshots import build_basis, refresh_basis
from apps.snapshots import store
from tests.customers import make_customer
from tests.markets.conftest import BASIS, Api
from tests.markets.world import DAY, HOUR, NOW_MS, Market, perp

pytestmark = pytest.mark.django_db(databases=["default", "market"])
MINUTE = 60_000
SLOT = 5 * MINUTE
INDEX = 50.0
OI_USD = {"binance": 5e9, "bybit": 2e9, "okx": 2e9, "deribit": 5e8, "hyperliquid": 5e8}
NOW_BASIS = {
    "binance": 0.0004, "bybit": 0.0005, "okx": 0.0003, "deribit": -0.0002, "hyperliquid": 0.001,
}  # fmt: skip
RATE_8H = {
    "binance": 0.0001, "bybit": 0.00012, "okx": 0.00005, "deribit": -0.00001, "hyperliquid": 0.0002,
}  # fmt: skip
WITH_PAST = ("binance", "bybit", "okx")
EXPIRIES = (NOW_MS + 20 * HOUR, NOW_MS + 40 * DAY, NOW_MS + 131 * DAY)


def past_basis(venue: str, ts: int) -> float:
    days = ts / DAY
    wave = math.sin(2 * math.pi * days) + math.sin(2 * math.pi * days / 7)
    return 0.0003 * wave + 0.0001 * VENUES.index(venue)


def past_oi(venue: str, ts: int) -> float:
    return OI_USD[venue] * (1 + 0.1 * math.sin(ts / DAY + VENUES.index(venue)))


def sample(row_id: int, ts: int, basis: float, known_at: int | None = None) -> BasisRow:
    known = ts if known_at is None else known_at
    return BasisRow(row_id, ts, known, INDEX * (1 + basis), INDEX, "venue")


def interest(row_id: int, ts: int, usd: float) -> OpenInterestRow:
    return OpenInterestRow(row_id, ts, ts, usd / INDEX, usd / INDEX, usd, "venue")


def future(venue: str, expiry_ms: int, quote: str = "USDT") -> Instrument:
    return Instrument(
        venue=venue,
        symbol=f"SOL{quote}-{expiry_ms}",
        asset="SOL",
        kind=InstrumentKind.FUTURE,
        quote=quote,
        expiry_ms=expiry_ms,
    )


FUTURES = (
    future("binance", EXPIRIES[1]),
    future("binance", EXPIRIES[2]),
    future("okx", EXPIRIES[0]),
    # The same day, an hour later.
    future("okx", EXPIRIES[1] + HOUR),
    future("okx", EXPIRIES[1], "USD"),
)
FUTURE_BASIS = dict(
    zip([one.key for one in FUTURES], [0.011, 0.03, 0.001, 0.012, 0.002], strict=True)
)
FUTURE_OI = dict(zip([one.key for one in FUTURES], [6e8, 1e8, 1e7, 3e8, 1e8], strict=True))


@pytest.fixture
def five(market: Market) -> dict[str, int]:
    """SOL on five venues, three with 30 days of samples every five minutes; dated futures on two."""
    now = datetime.fromtimestamp((NOW_MS - 40 * DAY) / 1000, tz=UTC)
    ids: dict[str, int] = {}
    for venue in VENUES:
        listed = [perp(venue, "SOL"), *(one for one in FUTURES if one.venue == venue)]
        ids |= instruments_sync(venue=venue, listed=listed, assets={"SOL"}, now=now).ids
    first = NOW_MS // SLOT * SLOT - 30 * DAY - 7 * HOUR
    for venue in WITH_PAST:
        row_id = ids[perp(venue, "SOL").key]
        rows_write([sample(row_id, ts, past_basis(venue, ts)) for ts in range(first, NOW_MS, SLOT)])
        moments = range(first, NOW_MS, SLOT)
        rows_write([interest(row_id, ts, past_oi(venue, ts)) for ts in moments])
    return ids


def state(one: Instrument, basis: float, oi_usd: float, age_ms: int = 1000) -> LiveState:
    made = LiveState.of(one)
    made.mark_price, made.index_price = INDEX * (1 + basis), INDEX
    made.mark_ts_ms = made.index_ts_ms = NOW_MS - age_ms
    made.oi_usd, made.oi_ts_ms = oi_usd, NOW_MS - age_ms
    if one.kind is InstrumentKind.PERP:
        made.funding_rate, made.funding_interval_h = RATE_8H[one.venue] / 2, 4.0
        made.funding_ts_ms = NOW_MS - age_ms
    return made


def tell(down: str | None = None, **basis: float) -> None:
    sources = [
        SourceStatus(venue=v, status="down" if v == down else "ok", last_ok_ms=NOW_MS - 500)
        for v in VENUES
    ]
    states = [state(perp(v, "SOL"), basis.get(v, NOW_BASIS[v]), OI_USD[v]) for v in VENUES] + [
        state(one, FUTURE_BASIS[one.key], FUTURE_OI[one.key]) for one in FUTURES
    ]
    write_live(sync_redis(), states, sources)


def now_of(asset: str = "SOL") -> Any:
    (found,) = build_basis([asset])
    return found


def mean(values: dict[str, float], weights: dict[str, float]) -> float:
    return sum(values[v] * weights[v] for v in values) / sum(weights[v] for v in values)


def test_perpetuals_weighted_by_open_interest(five: dict[str, int]) -> None:
    tell()
    found = now_of()
    aggregate = found["aggregate"]
    assert found["venues"] == {v: pytest.approx(100 * b, abs=1e-9) for v, b in NOW_BASIS.items()}
    assert aggregate["basis"] == pytest.approx(mean(NOW_BASIS, OI_USD), abs=1e-12)
    assert aggregate["value"] == pytest.approx(100 * mean(NOW_BASIS, OI_USD), abs=1e-9)
    assert aggregate["unit"] == "percent"
    # What a perpetual costs a year is its funding: 1095 times the rate of eight hours.
    assert aggregate["annualised"] == pytest.approx(1095 * mean(RATE_8H, OI_USD), abs=1e-9)
    assert aggregate["state"] == "contango"
    assert (aggregate["weighting"], aggregate["oi_usd"]) == ("open_interest", 1e10)
    assert (aggregate["coverage"], aggregate["confidence"]) == (1.0, "full")
    for venue, detail in found["venues_detail"].items():
        assert detail["annualised"] == pytest.approx(1095 * RATE_8H[venue], abs=1e-9)
        assert detail["weight"] == OI_USD[venue] / 1e10
    assert found["venues_detail"]["deribit"]["state"] == "backwardation"
    assert found["venues_detail"]["hyperliquid"]["state"] == "steep"
    assert found["meta"]["metric"] == BASIS_METRIC
    assert found["meta"]["partial"] is False


def reference(venues: tuple[str, ...]) -> list[float]:
    """The mean of each slot's end, weighted by the open interest of that time: percent."""
    found = []
    for number in range(8640):
        # A sample at the very end of a slot belongs to the next one.
        ts = (NOW_MS // SLOT - 1 - number) * SLOT
        basis = {venue: past_basis(venue, ts) for venue in venues}
        weights = {venue: round(past_oi(venue, ts), 6) for venue in venues}
        found.append(100 * mean(basis, weights))
    return found


def test_context_equals_a_slow_reckoning(five: dict[str, int]) -> None:
    tell()
    found = now_of()
    for venues, block in (
        (WITH_PAST, found["aggregate"]),
        (("bybit",), found["venues_detail"]["bybit"]),
    ):
        past = np.array(reference(venues))
        current = 100 * mean({v: NOW_BASIS[v] for v in venues}, OI_USD)
        assert block["samples"] == 8640
        assert block["percentile_30d"] == pytest.approx((past < current).mean(), abs=1e-6)
        median = np.median(past)
        spread = 1.482602218505602 * np.median(np.abs(past - median))
        assert block["z_score"] == pytest.approx((current - median) / spread, abs=1e-5)
        assert block["window_kind"] == "mark_over_index"
    assert found["aggregate"]["venues_ranked"] == list(WITH_PAST)
    assert found["venues_detail"]["deribit"]["null_reason"] == "insufficient_history"


@pytest.mark.parametrize("gone", VENUES)
def test_a_venue_that_drops_out_is_no_move(five: dict[str, int], gone: str) -> None:
    tell(down=gone)
    found = now_of()
    left = {venue: NOW_BASIS[venue] for venue in VENUES if venue != gone}
    aggregate = found["aggregate"]
    assert aggregate["basis"] == pytest.approx(mean(left, OI_USD), abs=1e-12)
    assert aggregate["venues_missing"] == [gone]
    assert found["meta"]["partial"] is True
    assert found["venues_detail"][gone]["null_reason"] == "venue_down"
    assert found["venues_detail"][gone]["annualised"] is None
    ranked = tuple(venue for venue in WITH_PAST if venue != gone)
    assert aggregate["venues_ranked"] == list(ranked)
    current = 100 * mean({v: NOW_BASIS[v] for v in ranked}, OI_USD)
    rank = (np.array(reference(ranked)) < current).mean()
    assert aggregate["percentile_30d"] == pytest.approx(rank, abs=1e-6)


def test_prices_of_different_moments_are_no_basis(five: dict[str, int]) -> None:
    tell()
    apart = state(perp("okx", "SOL"), 0.0003, 2e9)
    apart.index_ts_ms = NOW_MS - 1000 - 5001
    write_live(sync_redis(), [apart])
    detail = now_of()["venues_detail"]["okx"]
    assert (detail["value"], detail["index_price"], detail["null_reason"]) == (None, None, "stale")
    apart.index_ts_ms = NOW_MS - 1000 - 5000
    write_live(sync_redis(), [apart])
    assert now_of()["venues_detail"]["okx"]["basis"] == pytest.approx(0.0003)


def test_a_venue_without_an_index_has_no_basis(five: dict[str, int]) -> None:
    tell()
    silent = state(perp("okx", "SOL"), 0.0003, 2e9)
    silent.index_price = silent.index_ts_ms = None
    write_live(sync_redis(), [silent])
    found = now_of()
    assert found["venues_detail"]["okx"]["null_reason"] == "no_data"
    assert found["aggregate"]["venues_missing"] == ["okx"]
    assert found["aggregate"]["coverage"] == pytest.approx(0.8, abs=0.03)


def test_too_little_of_the_market_is_withheld(five: dict[str, int]) -> None:
    tell()
    old = [state(perp(v, "SOL"), 0.001, OI_USD[v], age_ms=HOUR) for v in WITH_PAST]
    write_live(sync_redis(), old)
    aggregate = now_of()["aggregate"]
    assert aggregate["confidence"] == aggregate["null_reason"] == "withheld"
    assert (aggregate["value"], aggregate["annualised"], aggregate["state"]) == (None, None, None)
    assert aggregate["venues_used"] == []


# ---------------------------------------------------------------- dated futures


def annual(basis: float, expiry_ms: int) -> float:
    return basis * 365 / ((expiry_ms - NOW_MS) / DAY)


def test_dated_contracts_of_a_venue_by_delivery(five: dict[str, int]) -> None:
    tell()
    found = now_of()["venues_detail"]
    near, usd, late = found["okx"]["futures"]
    assert [one["symbol"] for one in (near, usd, late)] == [
        FUTURES[2].symbol, FUTURES[4].symbol, FUTURES[3].symbol,
    ]  # fmt: skip
    assert late["basis"] == pytest.approx(0.012, abs=1e-12)
    assert late["annualised"] == pytest.approx(annual(0.012, EXPIRIES[1] + HOUR), abs=1e-9)
    assert (late["state"], usd["state"]) == ("contango", "flat")
    assert (usd["quote"], usd["days_to_expiry"]) == ("USD", 40.0)
    # Less than a day left: a basis, but none a year.
    assert near["basis"] == pytest.approx(0.001, abs=1e-12)
    assert (near["annualised"], near["state"], near["null_reason"]) == (None, None, "degenerate")
    assert found["deribit"]["futures"] == []


def test_the_curve_over_the_venues(five: dict[str, int]) -> None:
    tell()
    curve = now_of()["curve"]
    assert [one["expiry"] for one in curve] == [iso_utc(expiry) for expiry in EXPIRIES]
    middle = curve[1]
    keys = [FUTURES[number].key for number in (0, 3, 4)]
    basis = {key: FUTURE_BASIS[key] for key in keys}
    assert middle["basis"] == pytest.approx(mean(basis, FUTURE_OI), abs=1e-12)
    assert middle["oi_usd"] == pytest.approx(1e9)
    yearly = {
        keys[0]: annual(0.011, EXPIRIES[1]),
        keys[1]: annual(0.012, EXPIRIES[1] + HOUR),
        keys[2]: annual(0.002, EXPIRIES[1]),
    }
    assert middle["annualised"] == pytest.approx(mean(yearly, FUTURE_OI), abs=1e-9)
    assert middle["state"] == "contango"
    assert middle["contracts"] == {
        "binance": [FUTURES[0].symbol], "okx": [FUTURES[4].symbol, FUTURES[3].symbol],
    }  # fmt: skip
    assert curve[0]["null_reason"] == "degenerate"
    assert (curve[2]["weighting"], curve[2]["contracts"]) == (
        "none", {"binance": [FUTURES[1].symbol]},
    )  # fmt: skip


def test_a_delivered_contract_is_gone(five: dict[str, int]) -> None:
    tell()
    (found,) = refresh_basis(["SOL"], EXPIRIES[0])
    payload = orjson.loads(found.body(EXPIRIES[0]))
    assert [one["expiry"] for one in payload["curve"]] == [iso_utc(one) for one in EXPIRIES[1:]]
    # Every price is as old as that: no number, and each says why.
    assert {one["null_reason"] for one in payload["curve"]} == {"stale"}


def test_an_asset_without_dated_futures_has_an_empty_curve(published: Market, api: Api) -> None:
    found = api.get(BASIS, "asset=ETH").json()
    assert found["curve"] == []
    assert found["venues"] == {"binance": 0.0}
    assert found["venues_detail"]["binance"]["futures"] == []
    (none,) = build_basis(["FLOKI"])
    assert (none["venues"], none["curve"], none["aggregate"]["value"]) == ({}, [], None)
    assert none["aggregate"]["null_reason"] in ("no_data", "not_listed")


# ---------------------------------------------------------------- the past


def test_as_of_is_what_was_known_then(five: dict[str, int]) -> None:
    moment = NOW_MS - 6 * HOUR
    key = FUTURES[0].key
    last = moment // SLOT * SLOT
    rows_write([sample(five[key], last, 0.02)])
    (before,) = build_basis(["SOL"], moment)
    assert before["venues"] == {
        venue: pytest.approx(100 * past_basis(venue, last), abs=1e-9) for venue in WITH_PAST
    }
    assert before["aggregate"]["samples"] == 8640
    # Predicted rates were not stored then.
    assert before["aggregate"]["annualised"] is None
    assert [one["contracts"] for one in before["curve"]] == [{"binance": [FUTURES[0].symbol]}]
    days = (EXPIRIES[1] - moment) / DAY
    assert before["curve"][0]["annualised"] == pytest.approx(0.02 * 365 / days, abs=1e-9)
    # What arrives later changes nothing, even where it is about the time before.
    rows_write([sample(five[FUTURES[1].key], last, 0.5, known_at=moment + 1)])
    rows_write([sample(five[perp("binance", "SOL").key], moment + 1, 0.5)])
    assert build_basis(["SOL"], moment) == [before]


def test_what_comes_later_is_in_no_answer_about_before(five: dict[str, int]) -> None:
    """Prefix invariance: with all rows, and with those known by then alone, the answer is the same."""
    for key in (FUTURES[0].key, FUTURES[4].key):
        moments = range(NOW_MS // SLOT * SLOT - DAY, NOW_MS, SLOT)
        rows_write([sample(five[key], ts, 0.01 + ts % 7 / 1000) for ts in moments])
        rows_write([interest(five[key], ts, 1e8) for ts in moments])
    moments_ms = [NOW_MS - n * 17 * MINUTE - 1 for n in (1, 5, 20, 60)]
    whole = [build_basis(["SOL"], moment) for moment in moments_ms]
    assert all(one["curve"][0]["annualised"] is not None for (one,) in whole)
    for moment, answer in zip(moments_ms, whole, strict=True):
        with connections["market"].cursor() as cursor:
            for table in ("basis", "open_interest"):
                query = f"DELETE FROM {table} WHERE known_at > to_timestamp(%s / 1000.0)"
                cursor.execute(query, [moment])
        assert build_basis(["SOL"], moment) == answer


def body(response: Any) -> Any:
    return orjson.loads(b"".join(response.streaming_content))


def test_history_is_the_last_sample_of_each_interval(five: dict[str, int], api: Api) -> None:
    end = NOW_MS // HOUR * HOUR
    rows_write([sample(five[FUTURES[2].key], end - MINUTE, 0.004)])
    page = body(api.get(BASIS, {"asset": "SOL", "from": end - 3 * HOUR, "to": end}))
    assert (page["interval"], page["meta"]["count"], page["next_cursor"]) == ("1h", 3, None)
    for number, row in enumerate(page["data"]):
        last = end - (3 - number) * HOUR + HOUR - SLOT
        assert (row["ts"], row["closed"]) == (iso_utc(last + SLOT - HOUR), True)
        basis = {venue: past_basis(venue, last) for venue in WITH_PAST}
        weights = {venue: past_oi(venue, last) for venue in WITH_PAST}
        assert row["venues"] == {v: pytest.approx(100 * b, abs=1e-9) for v, b in basis.items()}
        assert row["aggregate"]["basis"] == pytest.approx(mean(basis, weights), abs=1e-12)
        assert row["aggregate"]["venues_missing"] == ["deribit", "hyperliquid"]
        assert row["venues_detail"]["okx"]["sampled_at"] == iso_utc(last)
    assert [row["futures"] for row in page["data"][:2]] == [[], []]
    (dated,) = page["data"][2]["futures"]
    assert (dated["venue"], dated["symbol"]) == ("okx", FUTURES[2].symbol)
    days = (EXPIRIES[0] - end + MINUTE) / DAY
    expected = None if days < 1 else pytest.approx(0.004 * 365 / days, abs=1e-9)
    assert dated["annualised"] == expected


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_pages_lose_and_repeat_nothing(five: dict[str, int], api: Api, limit: int) -> None:
    start = NOW_MS // HOUR * HOUR - 20 * HOUR
    query: dict[str, Any] = {"asset": "SOL", "from": start, "to": NOW_MS, "limit": limit}
    whole = body(api.get(BASIS, query | {"limit": 5000}))["data"]
    found: list[Any] = []
    while True:
        page = body(api.get(BASIS, query))
        found += page["data"]
        if page["next_cursor"] is None:
            break
        # Rows written meanwhile, before and behind the cursor, shift nothing.
        row_id = five[perp("deribit", "SOL").key]
        rows_write([sample(row_id, start - HOUR - len(found), 1.0)])
        query["cursor"] = page["next_cursor"]
    assert found == whole
    assert len(found) == 21


def test_history_knows_only_what_was_known(five: dict[str, int], api: Api) -> None:
    start = NOW_MS // HOUR * HOUR - 3 * HOUR
    query = {"asset": "SOL", "from": start, "as_of": start + HOUR}
    before = body(api.get(BASIS, query))
    assert before["meta"]["count"] == 1
    row_id = five[perp("deribit", "SOL").key]
    rows_write([sample(row_id, start + MINUTE, 0.1, known_at=NOW_MS)])
    assert body(api.get(BASIS, query)) == before
    later = body(api.get(BASIS, {"asset": "SOL", "from": start}))["data"][0]["venues"]
    assert "deribit" in later


def test_history_in_csv_and_ndjson_holds_the_rows_of_the_json(
    five: dict[str, int], api: Api
) -> None:
    end = NOW_MS // HOUR * HOUR
    rows_write([sample(five[FUTURES[1].key], end - HOUR - MINUTE, 0.01)])
    query = {"asset": "SOL", "from": end - 2 * HOUR}
    rows = body(api.get(BASIS, query))["data"]
    lines = b"".join(api.get(BASIS, query | {"format": "ndjson"}).streaming_content)
    assert [orjson.loads(line) for line in lines.splitlines()] == rows
    text = b"".join(api.get(BASIS, query | {"format": "csv"}).streaming_content).decode()
    records = list(csv.DictReader(io.StringIO(text)))
    assert [one["venue"] for one in records[:5]] == ["aggregate", *WITH_PAST, "binance"]
    assert [one["market"] for one in records[:5]] == ["perp"] * 4 + ["future"]
    assert float(records[0]["value"]) == rows[0]["aggregate"]["value"]
    assert records[4]["symbol"] == FUTURES[1].symbol
    assert float(records[4]["annualised"]) == rows[0]["futures"][0]["annualised"]


# ---------------------------------------------------------------- REST


@pytest.fixture
def sol(five: dict[str, int]) -> None:
    tell()
    store.publish_many(refresh_basis(["SOL"], NOW_MS))


def test_current_over_rest_in_three_formats(sol: None, api: Api) -> None:
    found = api.get(BASIS, "asset=SOL").json()
    assert found["aggregate"] == now_of()["aggregate"]
    lines = api.get(BASIS, "assets=SOL&format=ndjson").content.splitlines()
    assert [orjson.loads(line) for line in lines] == [found]
    text = api.get(BASIS, "asset=SOL&format=csv").content.decode()
    records = list(csv.DictReader(io.StringIO(text)))
    assert [one["venue"] for one in records[:6]] == ["aggregate", *VENUES]
    dated = [(one["venue"], one["symbol"]) for one in records[6:]]
    expected = [
        (venue, one["symbol"])
        for venue, detail in found["venues_detail"].items()
        for one in detail["futures"]
    ]
    assert dated == expected
    assert {one["market"] for one in records[6:]} == {"future"}
    assert float(records[0]["annualised"]) == found["aggregate"]["annualised"]
    assert float(records[1]["weight"]) == 0.5


def test_one_venue_is_its_own_aggregate_and_curve(sol: None, api: Api) -> None:
    whole = api.get(BASIS, "asset=SOL").json()["venues_detail"]["okx"]
    found = api.get(BASIS, "asset=SOL&venue=okx").json()
    for name in ("value", "basis", "annualised", "percentile_30d", "z_score", "oi_usd"):
        assert found["aggregate"][name] == whole[name]
    assert found["aggregate"]["weighting"] == "none"
    assert [one["contracts"]["okx"] for one in found["curve"]] == [
        [one["symbol"]] for one in whole["futures"]
    ]
    assert [one["annualised"] for one in found["curve"]] == [
        one["annualised"] for one in whole["futures"]
    ]
    assert api.get(BASIS, "asset=SOL&venue=deribit").json()["curve"] == []


def test_who_may_not_ask_is_told_why(sol: None, api: Api) -> None:
    missing = api.client.get(BASIS, QUERY_STRING="asset=SOL")
    assert (missing.status_code, missing.json()["code"]) == (401, "missing_api_key")
    narrow = Api(make_customer("enterprise", "pam", layers=["L2"]))
    refused = narrow.get(BASIS, "asset=SOL")
    assert (refused.status_code, refused.json()["code"]) == (403, "tier_required")
    for query, param in (("asset=SOL&interval=3m&from=1", "interval"), ("asset=SOL&x=1", "x")):
        bad = api.get(BASIS, query)
        assert (bad.status_code, bad.json()["param"]) == (400, param)
    assert api.get(BASIS, "asset=XYZ").json()["code"] == "unknown_asset"


def test_over_the_limit_of_the_plan(sol: None, clean_redis: Any) -> None:
    pro = Api(make_customer("pro", "pia"))
    codes = [pro.get(BASIS, "asset=SOL").status_code for _ in range(41)]
    assert codes == [200] * 40 + [429]
