"""``as_of``: what could be known then, and nothing later."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from apps.core.clock import iso_utc
from apps.marketdata.writers import rows_write
from tests.markets.conftest import (
    FLOW,
    FUNDING,
    LIQUIDATIONS,
    OHLCV,
    OPEN_INTEREST,
    POSITIONING,
    Api,
)
from tests.markets.world import DAY, HOUR, LAST_SETTLEMENT, NOW_MS, Market, funding_row

pytestmark = pytest.mark.django_db(databases=["default", "market"])


def rows(response: Any) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = orjson.loads(b"".join(response.streaming_content))["data"]
    return data


@pytest.mark.parametrize("path", [FUNDING, FLOW, OPEN_INTEREST, OHLCV, POSITIONING, LIQUIDATIONS])
def test_the_answer_says_when_it_was_known(market: Market, api: Api, path: str) -> None:
    moment = NOW_MS - 3 * HOUR
    response = api.get(path, {"asset": "BTC", "as_of": moment})
    data = response.json()
    assert response.status_code == 200
    assert data["meta"]["as_of"] == data["meta"]["snapshot_ts"] == iso_utc(moment)
    assert (data["meta"]["staleness_seconds"], data["meta"]["freshness"]) == (0, "fresh")
    assert data["meta"]["method"]["version"]
    assert "X-Next-Update-At" not in response
    again = api.get(path, {"asset": "BTC", "as_of": moment}, **{"If-None-Match": response["ETag"]})
    assert again.status_code == 304


def test_flow_then_is_the_flow_of_the_minutes_before(market: Market, api: Api) -> None:
    data = api.get(FLOW, {"asset": "BTC", "as_of": NOW_MS // 60_000 * 60_000 - 120_000}).json()
    assert data["windows"]["5m"]["volume_usd"] == 6_250
    assert data["windows"]["5m"]["delta_usd"] == 1_250


def test_the_settled_rate_then(market: Market, api: Api) -> None:
    data = api.get(FUNDING, {"asset": "BTC", "as_of": LAST_SETTLEMENT - HOUR}).json()
    assert data["settled"]["settled_at"] == iso_utc(LAST_SETTLEMENT - 8 * HOUR)


def test_several_assets_then(market: Market, api: Api) -> None:
    data = api.get(FUNDING, {"assets": "BTC,ETH", "as_of": NOW_MS - HOUR}).json()
    assert [one["asset"] for one in data["data"]] == ["BTC", "ETH"]
    assert data["meta"]["snapshot_ts"] == iso_utc(NOW_MS - HOUR)


def test_history_leaves_out_what_came_later(market: Market, api: Api) -> None:
    late = funding_row(market.id("binance:perp:ETHUSDT"), LAST_SETTLEMENT - 20 * HOUR, 0.0009)
    rows_write([late._replace(known_at=NOW_MS - HOUR)])
    query = {"asset": "ETH", "from": LAST_SETTLEMENT - DAY}
    now = {row["ts"] for row in rows(api.get(FUNDING, query))}
    then = {row["ts"] for row in rows(api.get(FUNDING, {**query, "as_of": NOW_MS - 2 * HOUR}))}
    assert now - then == {iso_utc(LAST_SETTLEMENT - 20 * HOUR)}


def test_history_then_ends_then(market: Market, api: Api) -> None:
    moment = NOW_MS // HOUR * HOUR - 3 * HOUR
    found = rows(api.get(FLOW, {"asset": "BTC", "from": moment - DAY, "as_of": moment}))
    assert found[-1]["ts"] == iso_utc(moment - HOUR)


def test_a_prefix_of_the_rows_gives_the_same_answer(market: Market, api: Api) -> None:
    """Causality: what arrives later changes nothing."""
    query = {"asset": "BTC", "as_of": LAST_SETTLEMENT + HOUR}
    before = [
        api.get(path, query).content
        for path in (FUNDING, FLOW, OPEN_INTEREST, OHLCV, POSITIONING, LIQUIDATIONS)
    ]
    rows_write([funding_row(market.id("binance:perp:BTCUSDT"), LAST_SETTLEMENT + 8 * HOUR, 0.5)])
    assert [
        api.get(path, query).content
        for path in (FUNDING, FLOW, OPEN_INTEREST, OHLCV, POSITIONING, LIQUIDATIONS)
    ] == before


def test_the_future_is_not_known(market: Market, api: Api) -> None:
    response = api.get(FUNDING, {"asset": "BTC", "as_of": NOW_MS + 1})
    assert (response.status_code, response.json()["param"]) == (400, "as_of")


def test_cursors_keep_the_moment(market: Market, api: Api) -> None:
    moment = NOW_MS - 2 * HOUR
    query = {"asset": "BTC", "from": LAST_SETTLEMENT - DAY, "as_of": moment, "limit": 1}
    page = orjson.loads(b"".join(api.get(FUNDING, query).streaming_content))
    rest = api.get(FUNDING, {"asset": "BTC", "cursor": page["next_cursor"]})
    meta = orjson.loads(b"".join(rest.streaming_content))["meta"]
    assert meta["as_of"] == iso_utc(moment)
