"""``POST /info`` as the venue answers it: shapes, paging, weights, refusals."""

from __future__ import annotations

import time

import pytest

from apps.marketdata.universe import ASSETS
from apps.sandbox.faces.hyperliquid.face import listings
from apps.sandbox.faces.hyperliquid.source import number
from tests.sandbox.faces.hyperliquid.conftest import Starter

HOUR_MS = 3_600_000


def test_the_venue_lists_most_assets_under_its_own_names() -> None:
    listed = {one.asset: one for one in listings(ASSETS)}
    assert len(listed) == 64
    assert "GRAM" not in listed
    assert {one.symbol for one in listed.values() if one.price_mult == 1000.0} == {
        "kPEPE",
        "kSHIB",
        "kBONK",
        "kFLOKI",
    }
    assert {one.funding_interval_h for one in listed.values()} == {1}
    assert (listed["BTC"].tick, listed["BTC"].lot) == (1.0, 1e-5)
    assert (listed["PEPE"].tick, listed["PEPE"].lot) == (1e-6, 1.0)
    for one in listed.values():
        # Price and size have six decimals between them.
        assert one.price_decimals + one.lot_decimals <= 6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("105055", "105055.0"),
        ("0.2500", "0.25"),
        ("1.0", "1.0"),
        ("0.00", "0.0"),
        ("20", "20.0"),
    ],
)
def test_numbers_are_written_as_the_venue_does(text: str, expected: str) -> None:
    assert number(text) == expected


async def test_universe_and_states_share_their_order(start: Starter) -> None:
    venue = await start()
    meta, states = await venue.info(type="metaAndAssetCtxs")
    names = [coin["name"] for coin in meta["universe"]]
    assert names == ["BTC", "ETH", "MATIC", "kPEPE", "FTM", "ARB"]
    assert [coin["name"] for coin in meta["universe"] if coin.get("isDelisted")] == ["MATIC", "FTM"]
    assert [state["midPx"] is None for state in states] == [
        coin.get("isDelisted", False) for coin in meta["universe"]
    ]
    pepe = dict(zip([coin["name"] for coin in meta["universe"]], states, strict=True))["kPEPE"]
    assert 0.001 < float(pepe["markPx"]) < 0.1
    assert abs(float(pepe["markPx"]) / float(pepe["oraclePx"]) - 1) < 0.02
    assert abs(float(pepe["funding"])) < 0.005
    assert float(pepe["openInterest"]) > 1e6
    assert float(pepe["dayNtlVlm"]) > 1e6
    assert meta == await venue.info(type="meta")
    mids = await venue.info(type="allMids")
    assert set(mids) == {"BTC", "ETH", "kPEPE", "ARB"}
    main, builder = await venue.info(type="perpDexs")
    assert (main, builder["name"]) == (None, "hyna")
    assert [row[0] for row in await venue.info(type="predictedFundings")] == list(mids)


async def test_books_and_recent_trades(start: Starter) -> None:
    venue = await start()
    book = await venue.info(type="l2Book", coin="BTC")
    bids, asks = book["levels"]
    assert len(bids) == len(asks) == 20
    assert [float(one["px"]) for one in bids] == sorted(
        (float(one["px"]) for one in bids), reverse=True
    )
    assert float(bids[0]["px"]) < float(asks[0]["px"])
    assert set(bids[0]) == {"px", "sz", "n"}
    assert await venue.info(type="l2Book", coin="NOPE") is None
    trades = await venue.info(type="recentTrades", coin="BTC")
    assert len(trades) == 10
    assert [one["tid"] for one in trades] == sorted((one["tid"] for one in trades), reverse=True)
    assert {one["side"] for one in trades} <= {"A", "B"}


async def test_funding_is_hourly_and_comes_in_pages_of_500(start: Starter) -> None:
    venue = await start()
    now_ms = int(time.time() * 1000)
    begin = now_ms - 30 * 86_400_000
    first = await venue.info(type="fundingHistory", coin="BTC", startTime=begin)
    assert len(first) == 500
    rest = await venue.info(
        type="fundingHistory", coin="BTC", startTime=first[-1]["time"] + 1, endTime=now_ms
    )
    assert len(first) + len(rest) in (719, 720)
    hours = [row["time"] // HOUR_MS for row in first + rest]
    assert hours == list(range(hours[0], hours[0] + len(hours)))
    assert max(row["time"] % HOUR_MS for row in first) < 100
    assert set(first[0]) == {"coin", "fundingRate", "premium", "time"}


async def test_candles_reach_back_5000_bars(start: Starter) -> None:
    venue = await start()
    now_ms = int(time.time() * 1000)
    req = {"coin": "kPEPE", "interval": "1m", "startTime": 0, "endTime": now_ms}
    minutes = await venue.info(type="candleSnapshot", req=req)
    assert len(minutes) in (4_999, 5_000)
    assert minutes[-1]["T"] >= now_ms - 60_000
    hours = await venue.info(
        type="candleSnapshot",
        req={**req, "interval": "1h", "startTime": now_ms - 48 * HOUR_MS},
    )
    assert len(hours) in (48, 49)
    hour = hours[-3]
    inside = [one for one in minutes if hour["t"] <= one["t"] < hour["t"] + HOUR_MS]
    assert float(hour["h"]) == max(float(one["h"]) for one in inside)
    assert float(hour["v"]) == pytest.approx(sum(float(one["v"]) for one in inside))
    assert hour["n"] == sum(one["n"] for one in inside)
    assert hour["o"] == inside[0]["o"]


@pytest.mark.parametrize(
    ("question", "refusal"),
    [
        ({"type": "nonsense"}, (422, "Failed to deserialize the JSON body into the target type")),
        ({"type": "fundingHistory", "coin": "NOPE", "startTime": 0}, (500, "null")),
        (
            {"type": "fundingHistory", "coin": "BTC"},
            (422, "Failed to deserialize the JSON body into the target type"),
        ),
        (
            {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "7m", "startTime": 0}},
            (422, "Failed to deserialize the JSON body into the target type"),
        ),
        ({"type": "metaAndAssetCtxs", "dex": "xyz"}, (500, "null")),
    ],
)
async def test_refusals(
    start: Starter, question: dict[str, object], refusal: tuple[int, str]
) -> None:
    venue = await start()
    assert await venue.refused(**question) == refusal


async def test_weights_are_counted_and_extra_rows_too(start: Starter) -> None:
    venue = await start(multiplier=1.0)
    venue.wall[0] = 1_763_719_200.0
    used = venue.face.limits.weight
    await venue.info(type="l2Book", coin="BTC")
    assert used.used == 2
    now_ms = int(time.time() * 1000)
    await venue.info(type="fundingHistory", coin="BTC", startTime=now_ms - 40 * 86_400_000)
    assert used.used == 2 + 20 + 25
    req = {"coin": "BTC", "interval": "1m", "startTime": 0, "endTime": now_ms}
    await venue.info(type="candleSnapshot", req=req)
    assert used.used == 47 + 20 + 83
    while used.used + 20 <= 1_200:
        await venue.info(type="metaAndAssetCtxs")
    assert await venue.refused(type="meta") == (429, "null")
    venue.wall[0] += 60
    assert (await venue.info(type="meta"))["collateralToken"] == 0
    assert venue.face.requests == 3 + 52 + 2
