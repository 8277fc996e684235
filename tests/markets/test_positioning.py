"""Positioning over REST and as snapshots: shares weighed by open interest, context, history, causality."""

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
from apps.marketdata.live import SourceStatus, write_live
from apps.marketdata.positioning import SERIES, TAKER, published_series
from apps.marketdata.rows import OpenInterestRow, PositioningRow
from apps.marketdata.services import instruments_sync
from apps.marketdata.universe import VENUES
from apps.marketdata.writers import rows_write
from apps.markets.contracts_positioning import POSITIONING_METRIC
from apps.markets.snapshots import build_positioning, refresh_positioning
from apps.snapshots import store
from tests.markets.conftest import POSITIONING, Api
from tests.markets.world import DAY, HOUR, NOW_MS, Market, perp

pytestmark = pytest.mark.django_db(databases=["default", "market"])
MINUTE = 60_000
SLOT = 5 * MINUTE
HALF = 30 * MINUTE
USD = {"binance": 5e9, "bybit": 2e9, "okx": 3e9, "deribit": 5e8, "hyperliquid": 5e8}
PUBLISHING = ("binance", "bybit", "okx")
LAST = NOW_MS // HALF * HALF
"""The newest half hour of the past."""


def past_share(venue: str, series: str, ts: int) -> float:
    """Waves of one, three and seven days, different for each venue and series."""
    days = ts / DAY
    place = 1 + VENUES.index(venue) + 7 * SERIES.index(series)
    wave = math.sin(2 * math.pi * days + place) + math.sin(2 * math.pi * days / 3 + place)
    wave += math.sin(2 * math.pi * days / 7 + 2 * place)
    return round(0.55 + 0.05 * wave, 4)


def row(
    row_id: int, series: str, ts: int, share: float, known_at: int | None = None, past: bool = True
) -> PositioningRow:
    known = ts if known_at is None else known_at
    period_s = 1800 if series == TAKER else 0
    return PositioningRow(row_id, series, ts, known, share, period_s, "venue" if past else "stream")


def interest(row_id: int, ts: int, usd: float) -> OpenInterestRow:
    return OpenInterestRow(row_id, ts, ts, usd, usd, usd, "venue")


def list_perp(venue: str, asset: str) -> int:
    listed = perp(venue, asset)
    now = datetime.fromtimestamp((NOW_MS - 40 * DAY) / 1000, tz=UTC)
    synced = instruments_sync(venue=venue, listed=[listed], assets={asset}, now=now)
    return synced.ids[listed.key]


def weight_then(venue: str, ts: int) -> float:
    """Open interest moves, so that the weights of a slot matter."""
    return round(USD[venue] * (1 + 0.2 * math.sin(ts / DAY + VENUES.index(venue))), 2)


@pytest.fixture
def five(market: Market) -> dict[str, int]:
    """WIF (COLD) on five venues; the three that publish have 31 days by the half hour."""
    ids = {venue: list_perp(venue, "WIF") for venue in VENUES}
    moments = range(LAST - 31 * DAY, LAST + 1, HALF)
    for venue in PUBLISHING:
        rows_write(
            [
                row(ids[venue], series, ts, past_share(venue, series, ts))
                for series in published_series(venue)
                for ts in moments
            ]
        )
    for venue, row_id in ids.items():
        rows_write([interest(row_id, ts, weight_then(venue, ts)) for ts in moments])
    return ids


def tell(down: str | None = None) -> None:
    sources = [
        SourceStatus(venue=v, status="down" if v == down else "ok", last_ok_ms=NOW_MS - 500)
        for v in VENUES
    ]
    write_live(sync_redis(), [], sources)


def now_of(asset: str = "WIF") -> Any:
    (found,) = build_positioning([asset])
    return found


def blocks(scope: Any) -> dict[str, Any]:
    return {"accounts": scope, **scope["series"]}


def shares_now(series: str) -> dict[str, float]:
    return {
        venue: past_share(venue, series, LAST)
        for venue in PUBLISHING
        if series in published_series(venue)
    }


def reference(series: str, at: int, venues: tuple[str, ...] = PUBLISHING) -> float:
    """The aggregate, reckoned slowly: ratio to share, weighed, as METHODS says."""
    total = weight = 0.0
    for venue in venues:
        if series in published_series(venue):
            share = past_share(venue, series, at)
            ratio = share / (1 - share)
            weight += weight_then(venue, at)
            total += weight_then(venue, at) * ratio / (1 + ratio)
    return total / weight


@pytest.mark.parametrize("series", SERIES)
def test_every_series_is_weighed_by_open_interest(five: dict[str, int], series: str) -> None:
    tell()
    found = now_of()
    block = blocks(found["aggregate"])[series]
    expected = shares_now(series)
    assert block["value"] == pytest.approx(reference(series, LAST), abs=1e-9)
    assert block["ratio"] == pytest.approx(block["value"] / (1 - block["value"]), abs=1e-6)
    assert (block["unit"], block["weighting"]) == ("share", "open_interest")
    assert block["venues_used"] == block["venues_ranked"] == list(expected)
    assert block["venues_missing"] == []
    assert (block["coverage"], block["confidence"]) == (1.0, "full")
    assert block["oi_usd"] == pytest.approx(sum(weight_then(v, LAST) for v in expected))
    lean = {venue: share - 0.5 for venue, share in expected.items()}
    top = sum(weight_then(v, LAST) * d for v, d in lean.items()) ** 2
    low = block["oi_usd"] * sum(weight_then(v, LAST) * d**2 for v, d in lean.items())
    assert block["ls_consensus"] == pytest.approx(top / low, abs=1e-6)
    for venue, share in expected.items():
        own = blocks(found["venues_detail"][venue])[series]
        assert own["value"] == share
        assert own["weight"] == pytest.approx(weight_then(venue, LAST) / block["oi_usd"], abs=1e-6)
        assert own["updated_at"] == iso_utc(LAST)
        assert own["age_seconds"] == (NOW_MS - LAST) / 1000
        assert own["period_seconds"] == (1800 if series == TAKER else 0)
    if series == "accounts":
        assert found["venues"] == expected
        assert found["meta"]["partial"] is False


def test_a_venue_that_publishes_nothing_is_null_and_not_missing(five: dict[str, int]) -> None:
    tell()
    found = now_of()
    for venue in ("deribit", "hyperliquid"):
        for block in blocks(found["venues_detail"][venue]).values():
            assert (block["value"], block["ratio"], block["state"]) == (None, None, None)
            assert block["null_reason"] == "no_data"
        assert venue not in found["venues"]
    for name in ("top_accounts", "top_positions", "taker"):
        assert found["venues_detail"]["bybit"]["series"][name]["null_reason"] == "no_data"
    statuses = {one["venue"]: one["status"] for one in found["meta"]["sources"]}
    assert statuses == {
        "binance": "ok", "bybit": "ok", "okx": "ok", "deribit": "not_published",
        "hyperliquid": "not_published",
    }  # fmt: skip
    assert found["meta"]["metric"] == POSITIONING_METRIC


@pytest.mark.parametrize("series", SERIES)
def test_context_equals_a_slow_reckoning(five: dict[str, int], series: str) -> None:
    tell()
    found = now_of()
    ends = [LAST - n * HALF for n in range(1440)]
    # A sample at the very end of a slot belongs to the next one.
    total = [round(reference(series, end - HALF), 10) for end in ends]
    binance = [past_share("binance", series, end - HALF) for end in ends]
    for block, window in (
        (blocks(found["aggregate"])[series], total),
        (blocks(found["venues_detail"]["binance"])[series], binance),
    ):
        value = block["value"]
        below, equal = sum(one < value for one in window), sum(one == value for one in window)
        assert block["samples"] == 1440
        assert block["percentile_30d"] == pytest.approx((below + equal / 2) / 1440, abs=1e-6)
        median = float(np.median(window))
        mad = float(np.median(np.abs(np.array(window) - median)))
        assert block["z_score"] == pytest.approx(
            (value - median) / (1.482602218505602 * mad), abs=2e-5
        )
        assert block["window_kind"] == ("taker_buy_share" if series == TAKER else "long_share")


@pytest.mark.parametrize("gone", PUBLISHING)
def test_a_venue_that_drops_out_bends_no_percentile(five: dict[str, int], gone: str) -> None:
    tell()
    whole = now_of()
    tell(down=gone)
    found = now_of()
    left = tuple(venue for venue in PUBLISHING if venue != gone)
    aggregate = found["aggregate"]
    assert found["meta"]["partial"] is True
    assert aggregate["venues_missing"] == [gone]
    assert aggregate["value"] == pytest.approx(reference("accounts", LAST, left), abs=1e-9)
    assert found["venues_detail"][gone]["null_reason"] == "venue_down"
    assert aggregate["coverage"] < 0.95
    for venue in left:
        assert (
            found["venues_detail"][venue]["percentile_30d"]
            == (whole["venues_detail"][venue]["percentile_30d"])
        )
    window = [round(reference("accounts", LAST - (n + 1) * HALF, left), 10) for n in range(1440)]
    rank = sum(one < aggregate["value"] for one in window) / 1440
    assert aggregate["percentile_30d"] == pytest.approx(rank, abs=1e-3)


def test_too_little_of_the_market_is_withheld(five: dict[str, int]) -> None:
    tell(down="binance")
    rows_write([interest(five["bybit"], NOW_MS - 1000, 1.0)])
    sources = [SourceStatus(venue=v, status="down", last_ok_ms=NOW_MS) for v in ("binance", "okx")]
    write_live(sync_redis(), [], sources)
    aggregate = now_of()["aggregate"]
    assert aggregate["confidence"] == aggregate["null_reason"] == "withheld"
    assert (aggregate["value"], aggregate["ratio"], aggregate["ls_consensus"]) == (None, None, None)
    assert (aggregate["venues_used"], aggregate["weighting"]) == ([], None)


@pytest.mark.parametrize(
    ("series", "age_ms", "part"),
    [
        # A sample of five minutes is fresh for ten, worth half at thirty, then nothing.
        ("accounts", 9 * MINUTE, 1.0),
        ("accounts", 20 * MINUTE, 0.75),
        ("accounts", 31 * MINUTE, None),
        # A taker period of half an hour is fresh for an hour.
        (TAKER, 59 * MINUTE, 1.0),
        (TAKER, 2 * HOUR, 0.75),
    ],
)
def test_a_share_ages_by_its_own_step(
    market: Market, series: str, age_ms: int, part: float | None
) -> None:
    tell()
    row_id = list_perp("okx", "SOL")
    rows_write([row(row_id, series, NOW_MS - age_ms, 0.6, past=False)])
    block = blocks(now_of("SOL")["aggregate"])[series]
    if part is None:
        assert (block["value"], block["null_reason"]) == (None, "stale")
    else:
        assert (block["value"], block["coverage"]) == (0.6, pytest.approx(part))


def test_a_stale_share_is_not_counted(market: Market) -> None:
    ids = {venue: list_perp(venue, "SOL") for venue in ("binance", "okx")}
    tell()
    for venue, age_ms in (("binance", MINUTE), ("okx", 31 * MINUTE)):
        rows_write([row(ids[venue], "accounts", NOW_MS - age_ms, 0.6, past=False)])
        rows_write([interest(ids[venue], NOW_MS - MINUTE, 1e9)])
    found = now_of("SOL")
    assert found["venues"] == {"binance": 0.6}
    assert found["venues_detail"]["okx"]["null_reason"] == "stale"
    assert found["venues_detail"]["okx"]["updated_at"] == iso_utc(NOW_MS - 31 * MINUTE)
    aggregate = found["aggregate"]
    assert (aggregate["value"], aggregate["weighting"]) == (0.6, "none")
    assert (aggregate["percentile_30d"], aggregate["samples"]) == (None, 0)
    assert aggregate["interpretation"] == "insufficient_history"
    assert aggregate["state"] == "longs_lead"
    assert found["meta"]["partial"] is True


def test_several_venues_without_weights_have_no_aggregate(market: Market) -> None:
    tell()
    for venue in ("binance", "okx"):
        row_id = list_perp(venue, "SOL")
        rows_write([row(row_id, "accounts", NOW_MS - MINUTE, 0.6, past=False)])
    found = now_of("SOL")
    assert found["aggregate"]["null_reason"] == "no_weights"
    assert found["venues"] == {"binance": 0.6, "okx": 0.6}


def test_no_venue_lists_it(market: Market) -> None:
    tell()
    (found,) = build_positioning(["FLOKI"])
    assert (found["venues"], found["venues_detail"]) == ({}, {})
    assert found["aggregate"]["null_reason"] == "not_listed"


def test_as_of_is_what_was_known_then(five: dict[str, int]) -> None:
    moment = LAST - 6 * HOUR + 7 * MINUTE
    last = LAST - 6 * HOUR
    (before,) = build_positioning(["WIF"], moment)
    assert before["venues"] == {v: past_share(v, "accounts", last) for v in PUBLISHING}
    assert before["aggregate"]["value"] == pytest.approx(reference("accounts", last), abs=1e-9)
    assert before["aggregate"]["samples"] == 1440
    assert before["meta"]["as_of"] == iso_utc(moment)
    # What arrives later changes nothing, even where it is about the time before.
    late = [row(five["okx"], "accounts", last + MINUTE, 0.9, known_at=moment + 1)]
    late += [row(five["binance"], TAKER, moment + 1, 0.9)]
    rows_write(late)
    assert build_positioning(["WIF"], moment) == [before]


def test_a_prefix_of_the_rows_gives_the_answer_of_its_end(market: Market) -> None:
    """Replayed: what is served at each moment is what ``as_of`` says of it later."""
    ids = {venue: list_perp(venue, "WIF") for venue in PUBLISHING}
    tell()
    start = LAST - 12 * DAY
    rows_write(
        [
            one
            for venue, row_id in ids.items()
            for ts in range(start, LAST - 3 * HOUR, HALF)
            for one in (
                row(row_id, "accounts", ts, past_share(venue, "accounts", ts)),
                interest(row_id, ts, weight_then(venue, ts)),
            )
        ]
    )
    served: dict[int, Any] = {}
    for moment in range(LAST - 3 * HOUR, LAST, HALF):
        for venue, row_id in ids.items():
            share = past_share(venue, "accounts", moment)
            rows_write([row(row_id, "accounts", moment, share, moment + 4_000, past=False)])
            rows_write([interest(row_id, moment, weight_then(venue, moment))])
        at = moment + 5_000
        (document,) = refresh_positioning(["WIF"], at)
        served[at] = orjson.loads(document.body(at))
    for at, then in served.items():
        (again,) = build_positioning(["WIF"], at)
        assert again["aggregate"] == then["aggregate"]
        assert again["venues_detail"] == then["venues_detail"]


def test_assets_of_both_tiers_keep_the_order_of_the_question(five: dict[str, int]) -> None:
    tell()
    found = build_positioning(["WIF", "SOL", "TRX", "BTC"])
    assert [one["asset"] for one in found] == ["WIF", "SOL", "TRX", "BTC"]
    assert found[0]["aggregate"] == now_of()["aggregate"]


# ---------------------------------------------------------------- history


def body(response: Any) -> Any:
    return orjson.loads(b"".join(response.streaming_content))


def test_history_is_the_last_sample_of_each_interval(five: dict[str, int], api: Api) -> None:
    end = NOW_MS // HOUR * HOUR
    page = body(api.get(POSITIONING, {"asset": "WIF", "from": end - 3 * HOUR, "to": end}))
    assert (page["interval"], page["meta"]["count"], page["next_cursor"]) == ("1h", 3, None)
    assert page["meta"]["venues"] == list(PUBLISHING)
    for number, found in enumerate(page["data"]):
        last = end - (3 - number) * HOUR + HALF
        assert (found["ts"], found["closed"]) == (iso_utc(last - HALF), True)
        assert found["venues"] == {v: past_share(v, "accounts", last) for v in PUBLISHING}
        assert found["venues_detail"]["okx"]["sampled_at"] == iso_utc(last)
        for series in SERIES:
            block = blocks(found["aggregate"])[series]
            assert block["value"] == pytest.approx(reference(series, last), abs=1e-9)
            own = blocks(found["venues_detail"]["binance"])[series]
            assert own["value"] == past_share("binance", series, last)
            assert own["ratio"] == pytest.approx(own["value"] / (1 - own["value"]), abs=1e-6)
        assert found["venues_detail"]["bybit"]["series"] == {}
        assert found["aggregate"]["weighting"] == "open_interest"


def test_a_sample_is_carried_while_it_is_valid(market: Market, api: Api) -> None:
    """Of five minutes: for fifteen both venues are weighed together."""
    start = NOW_MS // HOUR * HOUR - 6 * HOUR
    quick, slow = list_perp("okx", "SOL"), list_perp("bybit", "SOL")
    rows_write([row(quick, "accounts", start + n * SLOT, 0.6, past=False) for n in range(12)])
    rows_write([row(slow, "accounts", start, 0.4, past=False)])
    rows_write([interest(one, start, 1e9) for one in (quick, slow)])
    query = {"asset": "SOL", "interval": "5m", "from": start, "to": start + HOUR}
    rows = body(api.get(POSITIONING, query))["data"]
    assert [one["aggregate"]["value"] for one in rows] == [0.5] * 3 + [0.6] * 9
    assert [one["aggregate"]["weighting"] for one in rows[2:4]] == ["open_interest", "none"]
    (hour,) = body(api.get(POSITIONING, query | {"interval": "1h"}))["data"]
    assert hour["venues"] == {"bybit": 0.4, "okx": 0.6}
    assert hour["aggregate"]["venues_used"] == ["okx"]
    assert hour["aggregate"]["venues_missing"] == ["bybit"]


def test_the_interval_in_the_making_is_open(five: dict[str, int], api: Api) -> None:
    rows = body(api.get(POSITIONING, {"asset": "WIF", "interval": "4h", "from": NOW_MS - 8 * HOUR}))
    assert rows["data"][-1]["closed"] is False
    assert rows["data"][-1]["venues"]["okx"] == past_share("okx", "accounts", LAST)


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_pages_lose_and_repeat_nothing(five: dict[str, int], api: Api, limit: int) -> None:
    start = NOW_MS // HOUR * HOUR - 20 * HOUR
    query: dict[str, Any] = {"asset": "WIF", "from": start, "to": NOW_MS, "limit": limit}
    whole = body(api.get(POSITIONING, query | {"limit": 5000}))["data"]
    found: list[Any] = []
    while True:
        page = body(api.get(POSITIONING, query))
        found += page["data"]
        if page["next_cursor"] is None:
            break
        # Rows written meanwhile, before and behind the cursor, shift nothing.
        rows_write([row(five["binance"], "accounts", start - 2 * HOUR - len(found), 0.5)])
        query["cursor"] = page["next_cursor"]
    assert found == whole
    assert len(found) == 21


def test_history_knows_only_what_was_known(five: dict[str, int], api: Api) -> None:
    start = NOW_MS // HOUR * HOUR - 3 * HOUR
    query = {"asset": "WIF", "from": start, "as_of": start + HOUR}
    before = body(api.get(POSITIONING, query))
    rows_write([row(five["okx"], "accounts", start + HOUR - MINUTE, 0.9, known_at=NOW_MS)])
    assert body(api.get(POSITIONING, query)) == before
    now = body(api.get(POSITIONING, {"asset": "WIF", "from": start}))["data"]
    assert now[0]["venues"]["okx"] == 0.9


def test_csv_and_ndjson_hold_the_rows_of_the_json(five: dict[str, int], api: Api) -> None:
    query = {"asset": "WIF", "from": NOW_MS // HOUR * HOUR - 2 * HOUR}
    rows = body(api.get(POSITIONING, query))["data"]
    lines = b"".join(api.get(POSITIONING, query | {"format": "ndjson"}).streaming_content)
    assert [orjson.loads(line) for line in lines.splitlines()] == rows
    text = b"".join(api.get(POSITIONING, query | {"format": "csv"}).streaming_content).decode()
    records = list(csv.DictReader(io.StringIO(text)))
    named = [(one["venue"], one["series"]) for one in records[:9]]
    assert named == [
        *(("aggregate", series) for series in SERIES),
        *(("binance", series) for series in SERIES),
        ("bybit", "accounts"),
    ]
    assert float(records[3]["value"]) == rows[0]["aggregate"]["series"]["taker"]["value"]
    assert records[4]["sampled_at"] == rows[0]["venues_detail"]["binance"]["sampled_at"]


# ---------------------------------------------------------------- REST


@pytest.fixture
def wif(five: dict[str, int]) -> None:
    tell()
    store.publish_many(refresh_positioning(["WIF"], NOW_MS))


def test_current_over_rest_in_three_formats(wif: None, api: Api) -> None:
    found = api.get(POSITIONING, "asset=WIF").json()
    assert found["aggregate"] == now_of()["aggregate"]
    lines = api.get(POSITIONING, "assets=WIF&format=ndjson").content.splitlines()
    assert [orjson.loads(line) for line in lines] == [found]
    text = api.get(POSITIONING, "asset=WIF&format=csv").content.decode()
    records = list(csv.DictReader(io.StringIO(text)))
    assert len(records) == 4 * (1 + len(VENUES))
    assert [one["series"] for one in records[:4]] == list(SERIES)
    assert float(records[0]["value"]) == found["aggregate"]["value"]
    assert float(records[3]["ratio"]) == found["aggregate"]["series"]["taker"]["ratio"]
    assert records[-1]["null_reason"] == "no_data"


def test_one_venue_is_its_own_aggregate(wif: None, api: Api) -> None:
    found = api.get(POSITIONING, "asset=WIF&venue=okx").json()
    for series in SERIES:
        block, own = (
            blocks(found["aggregate"])[series],
            blocks(found["venues_detail"]["okx"])[series],
        )
        assert block["value"] == own["value"] == past_share("okx", series, LAST)
        assert block["percentile_30d"] == own["percentile_30d"]
        assert (block["weighting"], block["venues_used"]) == ("none", ["okx"])
        assert (block["ls_consensus"], block["null_reason"]) == (None, "degenerate")
    assert found["meta"]["aggregate_scope"] == "okx"
    none = api.get(POSITIONING, "asset=WIF&venue=deribit").json()["aggregate"]
    assert (none["value"], none["null_reason"]) == (None, "no_data")
    assert none["series"]["taker"]["null_reason"] == "no_data"


def test_without_the_aggregate(wif: None, api: Api) -> None:
    found = api.get(POSITIONING, "asset=WIF&aggregate=false").json()
    assert "aggregate" not in found
    assert set(found["venues"]) == set(PUBLISHING)
