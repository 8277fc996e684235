"""Current answers over REST: shapes, formats, filters, conditional requests."""

from __future__ import annotations

import csv
import io
from typing import Any

import orjson
import pytest

from apps.core.redis import sync_redis
from apps.snapshots import store
from tests.markets.conftest import FLOW, FUNDING, Api
from tests.markets.world import NOW_MS, Market

pytestmark = pytest.mark.django_db(databases=["default", "market"])


def test_one_asset_is_the_object_itself(published: Market, api: Api) -> None:
    response = api.get(FUNDING, {"asset": "BTC", "aggregate": True})
    data = response.json()
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert data["asset"] == "BTC"
    # What the landing page's own sample prints.
    assert data["aggregate"]["interpretation"] in ("elevated", "normal", "high")
    assert data["aggregate"]["value"] == pytest.approx(0.0123)
    assert data["venues"] == {"binance": 0.0123, "bybit": 0.0123}
    assert 0 <= data["aggregate"]["percentile_30d"] <= 1
    assert isinstance(data["aggregate"]["z_score"], float)
    assert data["meta"]["freshness"] == "fresh"
    assert data["meta"]["staleness_seconds"] == 0


def test_the_asset_may_be_written_in_lower_case(published: Market, api: Api) -> None:
    assert api.get(FLOW, "asset=btc").json()["asset"] == "BTC"


def test_data_headers(published: Market, api: Api) -> None:
    response = api.get(FUNDING, "asset=BTC")
    assert response["ETag"].startswith('W/"')
    assert response["Cache-Control"] == "private, no-cache"
    assert response["X-Next-Update-At"] == "2026-05-17T20:15:00Z"
    assert response["X-RateLimit-Limit"] == "300"
    assert response["X-Request-Id"].startswith("req_")
    assert response["Access-Control-Allow-Origin"] == "*"
    assert "Allow" not in response


def test_an_unchanged_snapshot_is_304_and_counts_nothing(published: Market, api: Api) -> None:
    first = api.get(FUNDING, "asset=BTC")
    again = api.get(FUNDING, "asset=BTC", **{"If-None-Match": first["ETag"]})
    assert again.status_code == 304
    assert again.content == b""
    assert again["ETag"] == first["ETag"]
    assert again["X-Quota-Day-Remaining"] == first["X-Quota-Day-Remaining"]


def test_many_assets_are_one_envelope(published: Market, api: Api) -> None:
    response = api.get(FUNDING, "assets=BTC,eth,SOL,NOPE")
    data = response.json()
    assert [one["asset"] for one in data["data"]] == ["BTC", "ETH"]
    assert data["errors"] == [
        {"asset": "NOPE", "code": "unknown_asset", "detail": "Not covered; see /v1/meta/assets."},
        {
            "asset": "SOL",
            "code": "snapshot_unavailable",
            "detail": "No snapshot has been published yet.",
        },
    ]
    assert data["meta"]["count"] == 2
    assert data["meta"]["freshness"] == "fresh"
    assert data["data"][0] == api.get(FUNDING, "asset=BTC").json()


def test_all_assets_pass_stored_bytes_on(published: Market, api: Api) -> None:
    response = api.get(FUNDING, "assets=*")
    body = store.read("markets.funding", "BTC")
    assert body is not None
    assert body.body(NOW_MS) in response.content
    assert len(response.json()["errors"]) == 63
    # 65 assets cost 7.
    before = int(response["X-Quota-Day-Remaining"])
    assert int(api.get(FUNDING, "assets=*")["X-Quota-Day-Remaining"]) == before - 7


def test_many_assets_answer_304_too(published: Market, api: Api) -> None:
    first = api.get(FUNDING, "assets=BTC,ETH")
    again = api.get(FUNDING, "assets=BTC,ETH", **{"If-None-Match": first["ETag"]})
    assert again.status_code == 304
    other = api.get(FUNDING, "assets=ETH", **{"If-None-Match": first["ETag"]})
    assert other.status_code == 200


@pytest.mark.parametrize("word", ["false", "False", "0"])
def test_the_aggregate_can_be_left_out(published: Market, api: Api, word: str) -> None:
    data = api.get(FUNDING, f"asset=BTC&aggregate={word}").json()
    assert "aggregate" not in data
    assert set(data["venues"]) == {"binance", "bybit"}


def test_one_venue_is_its_own_aggregate(published: Market, api: Api) -> None:
    full = api.get(FUNDING, "asset=BTC").json()
    data = api.get(FUNDING, "asset=BTC&venue=Bybit").json()
    own = full["venues_detail"]["bybit"]
    assert set(data["venues"]) == set(data["venues_detail"]) == {"bybit"}
    assert data["aggregate"]["value"] == own["value"]
    assert data["aggregate"]["percentile_30d"] == own["percentile_30d"]
    assert data["aggregate"]["weighting"] == "none"
    assert data["aggregate"]["venues_used"] == ["bybit"]
    assert data["settled"]["value"] == own["settled"]["value"]
    assert set(data["aggregate"]) >= set(full["aggregate"]) - {"null_reason"}
    assert data["meta"]["venue_filter"] == ["bybit"]
    assert data["meta"]["aggregate_scope"] == "bybit"


def test_one_venue_of_flow_brings_its_own_windows(published: Market, api: Api) -> None:
    full = api.get(FLOW, "asset=BTC").json()
    data = api.get(FLOW, "asset=BTC&venue=binance").json()
    assert data["windows"] == full["venues_detail"]["binance"]["windows"]
    assert data["spot"]["windows"] == full["venues_detail"]["binance"]["spot"]["windows"]


def test_a_venue_without_the_asset_is_null_with_a_reason(published: Market, api: Api) -> None:
    for path in (FUNDING, FLOW):
        data = api.get(path, "asset=ETH&venue=bybit").json()
        assert data["venues"] == {}
        assert data["aggregate"]["value"] is None
        assert data["aggregate"]["null_reason"] == "not_listed"


def test_csv_has_one_line_per_scope(published: Market, api: Api) -> None:
    response = api.get(FUNDING, "assets=BTC,ETH&format=csv")
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(response.content.decode())))
    assert [(row["asset"], row["venue"]) for row in rows] == [
        ("BTC", "aggregate"),
        ("BTC", "binance"),
        ("BTC", "bybit"),
        ("ETH", "aggregate"),
        ("ETH", "binance"),
    ]
    data = api.get(FUNDING, "asset=BTC").json()
    assert float(rows[0]["value"]) == data["aggregate"]["value"]
    assert float(rows[1]["settled_value"]) == data["venues_detail"]["binance"]["settled"]["value"]
    assert rows[1]["rate_raw"] == data["venues_detail"]["binance"]["rate_raw"]


def test_csv_of_flow_equals_the_json(published: Market, api: Api) -> None:
    rows = list(csv.DictReader(io.StringIO(api.get(FLOW, "asset=BTC&format=csv").content.decode())))
    data = api.get(FLOW, "asset=BTC").json()
    assert float(rows[0]["buy_usd"]) == data["windows"]["1h"]["buy_usd"]
    assert (
        float(rows[2]["delta_usd"]) == data["venues_detail"]["bybit"]["windows"]["1h"]["delta_usd"]
    )


def test_ndjson_is_one_object_a_line(published: Market, api: Api) -> None:
    response = api.get(FUNDING, "assets=BTC,ETH", Accept="application/x-ndjson")
    assert response["Content-Type"] == "application/x-ndjson"
    lines = [orjson.loads(line) for line in response.content.splitlines()]
    assert lines == api.get(FUNDING, "assets=BTC,ETH").json()["data"]


def test_formats_have_tags_of_their_own(published: Market, api: Api) -> None:
    tags = {
        api.get(FUNDING, f"asset=BTC&format={name}")["ETag"] for name in ("json", "csv", "ndjson")
    }
    assert len(tags) == 3


def test_without_a_snapshot_it_answers_503(market: Market, api: Api) -> None:
    response = api.get(FUNDING, "asset=BTC")
    problem = response.json()
    assert (response.status_code, problem["code"]) == (503, "snapshot_unavailable")
    assert response["Retry-After"] == str(problem["retry_after"])
    # Nothing was charged.
    assert response["X-Quota-Day-Remaining"] == "200000"


def test_postgres_answers_while_redis_has_lost_the_snapshot(published: Market, api: Api) -> None:
    sync_redis().delete(store.snapshot_key("markets.funding", "BTC"))
    assert api.get(FUNDING, "asset=BTC").json()["asset"] == "BTC"


@pytest.mark.parametrize("path", [FUNDING, FLOW])
def test_head_has_the_headers_and_no_body(published: Market, api: Api, path: str) -> None:
    response: Any = api.client.head(path, {"asset": "BTC"}, headers=api.customer.headers)
    assert response.status_code == 200
    assert response.content == b""
    assert response["ETag"]
