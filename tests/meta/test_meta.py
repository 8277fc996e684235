"""/v1/meta/*: what is really there, for everybody."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from apps.core.clock import iso_utc
from apps.core.redis import market_key, sync_redis
from apps.marketdata import selectors as marketdata
from apps.marketdata.gaps import NO_DATA, Gap, gaps_note
from apps.marketdata.listing_changes import Absence
from apps.marketdata.services import instruments_sync
from apps.meta.selectors import held_gaps
from apps.tiers.catalogue import plans_ensure
from apps.tiers.models import Plan
from tests.markets.conftest import Api
from tests.markets.world import LAST_SETTLEMENT, NOW_MS, Market

pytestmark = pytest.mark.django_db(databases=["default", "market"])
NAMES = ("assets", "venues", "plans", "fields", "status")


def get(name: str) -> Any:
    response = Client().get(f"/v1/meta/{name}")
    assert response.status_code == 200
    return response.json()


def test_assets_are_the_65_with_what_is_stored(published: Market) -> None:
    answer = get("assets")
    assert answer["meta"]["total"] == len(answer["data"]) == 65
    by_asset = {one["asset"]: one for one in answer["data"]}
    assert sum(one["tier"] == "hot" for one in answer["data"]) == 15
    assert (by_asset["BTC"]["cadence_seconds"], by_asset["FLOKI"]["cadence_seconds"]) == (60, 300)
    btc = by_asset["BTC"]
    assert list(btc["venues"]) == ["binance", "bybit"]
    perp, spot = btc["venues"]["binance"]
    assert (perp["symbol"], perp["kind"], spot["kind"]) == ("BTCUSDT", "perp", "spot")
    settled = perp["datasets"]["funding_settled"]
    assert settled["until"] == iso_utc(LAST_SETTLEMENT)
    assert settled["age_seconds"] == (NOW_MS - LAST_SETTLEMENT) // 1000
    assert set(perp["datasets"]) == {
        "funding_settled", "open_interest", "positioning", "bars_1m", "bars_5m", "liquidations",
    }  # fmt: skip
    assert perp["live_age_seconds"] == 1
    assert btc["snapshots"] == {
        "markets.funding": iso_utc(NOW_MS),
        "markets.volume_flow": iso_utc(NOW_MS),
        "markets.open_interest": iso_utc(NOW_MS),
        "markets.positioning": iso_utc(NOW_MS),
        "markets.ohlcv": iso_utc(NOW_MS),
        "markets.basis": iso_utc(NOW_MS),
        "markets.liquidations": iso_utc(NOW_MS),
    }
    # What is not there is not claimed.
    assert by_asset["SOL"]["venues"] == {}
    assert by_asset["SOL"]["snapshots"]["markets.funding"] is None


def test_venues_are_the_five_with_their_state(published: Market) -> None:
    by_venue = {one["venue"]: one for one in get("venues")["data"]}
    assert list(by_venue) == ["binance", "bybit", "okx", "deribit", "hyperliquid"]
    assert by_venue["binance"]["status"] == "ok"
    assert (by_venue["binance"]["assets"], by_venue["binance"]["instruments"]) == (2, 3)
    assert by_venue["okx"]["status"] == "not_connected"
    assert by_venue["okx"]["last_ok"] is None
    assert by_venue["okx"]["conventions"]["liquidations"] == "partial"
    assert by_venue["bybit"]["conventions"]["open_interest_sides"] == 2
    assert by_venue["hyperliquid"]["conventions"]["funding_raw_hours"] == 1.0


def test_plans_are_the_rows() -> None:
    plans_ensure()
    by_slug = {one["slug"]: one for one in get("plans")["data"]}
    pro = by_slug["pro"]
    assert (pro["price_usd_month"], pro["layers"], pro["api"]) == (100, ["L1"], True)
    assert pro["limits"]["requests_per_minute"] == 40
    assert pro["limits"]["quota_day"] == 25_000
    assert by_slug["enterprise"]["limits"]["websocket"] is True
    assert by_slug["free"]["api"] is False
    Plan.objects.filter(slug="pro").update(price_usd_month=120, is_public=True)
    assert {one["slug"]: one for one in get("plans")["data"]}["pro"]["price_usd_month"] == 120


def test_fields_explain_every_leaf_of_a_real_answer(published: Market, api: Api) -> None:
    answer = get("fields")
    assert answer["total"] == len(answer["data"]) > 100
    assert all(one["meaning"] for one in answer["data"])
    for path in (
        "/v1/markets/funding",
        "/v1/markets/volume-flow",
        "/v1/markets/open-interest",
        "/v1/markets/positioning",
        "/v1/markets/ohlcv",
        "/v1/markets/basis",
        "/v1/markets/liquidations",
    ):
        known = {one["name"] for one in answer["data"] if one["endpoint"] == path}
        payload = api.get(path, "asset=BTC").json()
        # A block that is null as a whole is explained by its parts.
        blocks = {name.rpartition(".")[0].removesuffix("[]") for name in known}
        assert {_generic(leaf) for leaf in _leaves(payload, "")} <= known | blocks


def _leaves(value: Any, path: str) -> set[str]:
    if isinstance(value, dict):
        found: set[str] = set()
        for key, item in value.items():
            found |= _leaves(item, f"{path}.{key}" if path else key)
        return found
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return _leaves(value[0], path + "[]")
    return {path}


def _generic(leaf: str) -> str:
    parts = leaf.split(".")
    for position, part in enumerate(parts):
        if part in ("binance", "bybit"):
            parts[position] = "{venue}"
        elif part in ("top_accounts", "top_positions", "taker"):
            parts[position] = "{series}"
        elif part in ("1m", "5m", "15m", "1h", "4h", "24h"):
            parts[position] = "{window}"
    return ".".join(parts)


def test_status_is_ok_while_all_parts_are(published: Market) -> None:
    answer = get("status")
    assert answer["status"] == "ok"
    assert {one["name"] for one in answer["components"]} == {
        "database",
        "redis",
        "market_data",
        "snapshots:markets.funding",
        "snapshots:markets.volume_flow",
        "snapshots:markets.open_interest",
        "snapshots:markets.positioning",
        "snapshots:markets.ohlcv",
        "snapshots:markets.basis",
        "snapshots:markets.liquidations",
    }


def test_status_says_what_is_missing(market: Market) -> None:
    answer = get("status")
    assert answer["status"] == "down"
    by_name = {one["name"]: one for one in answer["components"]}
    assert by_name["snapshots:markets.funding"]["status"] == "down"
    assert by_name["market_data"]["status"] == "down"
    assert by_name["redis"]["status"] == "ok"


def test_status_tells_how_far_the_history_is_and_what_nobody_has(market: Market) -> None:
    client: Any = sync_redis()
    told = {"state": "ready", "done": 5, "total": 5, "background_state": "running"}
    more = {"background_done": 3, "background_total": 9, "background_failed": 1}
    held_gaps.clear()
    gaps_note([Gap(market.id("bybit:perp:BTCUSDT"), "open_interest", 0, 0, 1, NO_DATA)])
    try:
        client.hset(market_key("backfill"), mapping={**told, **more})
        answer = get("status")["backfill"]
    finally:
        client.delete(market_key("backfill"))
        held_gaps.clear()
    assert answer == {
        "required": {"state": "ready", "done": 5, "total": 5, "failed": 0},
        "background": {"state": "running", "done": 3, "total": 9, "failed": 1},
        "gaps": {"open_interest": 1},
    }
    assert get("status")["backfill"]["required"]["state"] == "waiting"


def test_without_redis_it_still_answers(published: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> None:
        raise redis.ConnectionError("away")

    monkeypatch.setattr(marketdata, "read_board", away)
    monkeypatch.setattr(sync_redis(), "ping", away)
    assert get("venues")["data"][0]["status"] == "not_connected"
    answer = get("status")
    assert {one["name"]: one["status"] for one in answer["components"]}["redis"] == "down"


@pytest.mark.parametrize("name", NAMES)
def test_it_is_open_keyless_and_uncounted(published: Market, name: str) -> None:
    response = Client().get(f"/v1/meta/{name}")
    assert response["Access-Control-Allow-Origin"] == "*"
    assert response["Cache-Control"].startswith("public, max-age=")
    assert "X-RateLimit-Limit" not in response
    assert response["X-Request-Id"]
    assert "Set-Cookie" not in response


@pytest.mark.parametrize("name", NAMES)
def test_wrong_questions_are_problem_documents(published: Market, name: str) -> None:
    wrong = Client().get(f"/v1/meta/{name}?asset=BTC")
    assert (wrong.status_code, wrong.json()["param"]) == (400, "asset")
    posted = Client().post(f"/v1/meta/{name}")
    assert (posted.status_code, posted["Allow"]) == (405, "GET, HEAD, OPTIONS")


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.sampled_from(NAMES), raw=st.text(st.characters(codec="ascii"), max_size=80))
def test_no_query_makes_a_500(published: Market, name: str, raw: str) -> None:
    client = Client(raise_request_exception=False)
    assert client.get(f"/v1/meta/{name}", QUERY_STRING=raw).status_code in (200, 400)


def test_assets_say_which_venue_lacks_them_and_what_changed(published: Market) -> None:
    listed = [row.instrument for row in marketdata.instruments(venue="bybit")]
    renamed = [replace(one, symbol="BTCPERP") if one.symbol == "BTCUSDT" else one for one in listed]
    now = datetime.fromtimestamp(NOW_MS / 1000, tz=UTC)
    told = [Absence("SOL", "SOLUSDT", "status PreLaunch")]
    instruments_sync(venue="bybit", listed=renamed, assets={"BTC", "SOL"}, now=now, dropped=told)
    by_asset = {one["asset"]: one for one in get("assets")["data"]}
    assert by_asset["SOL"]["absent"]["bybit"] == {
        "symbol": "SOLUSDT",
        "reason": "status PreLaunch",
        "since": iso_utc(NOW_MS),
    }
    assert {
        "venue": "bybit",
        "symbol": "BTCPERP",
        "kind": "perp",
        "change": "renamed",
        "detail": "BTCUSDT to BTCPERP",
        "at": iso_utc(NOW_MS),
    } in by_asset["BTC"]["changes"]
