"""Bad questions: a problem document that names what is wrong, never a 500."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core.cursors import encode_cursor
from apps.markets.queries import PARAMETERS, HistoryCursor
from tests.customers import make_customer
from tests.markets.conftest import (
    BASIS,
    FLOW,
    FUNDING,
    LIQUIDATIONS,
    OHLCV,
    OPEN_INTEREST,
    POSITIONING,
    Api,
)
from tests.markets.world import DAY, NOW_MS, Market

pytestmark = pytest.mark.django_db(databases=["default", "market"])

START = NOW_MS - DAY


def cursor(**changes: Any) -> str:
    fields: dict[str, Any] = {
        "metric": "markets.funding",
        "asset": "BTC",
        "interval": "8h",
        "venues": (),
        "as_of_ms": None,
        "start_ms": START,
        "end_ms": NOW_MS,
        "after_ms": START,
    }
    return encode_cursor(HistoryCursor(**{**fields, **changes}))


WRONG = [
    ("", "asset", 400),
    ("asset=", "asset", 404),
    ("asset=BTCC", "asset", 404),
    ("asset=*", "asset", 404),
    ("asset=BTC&assets=ETH", "assets", 400),
    ("assets=", "assets", 400),
    ("assets=BTC,,ETH", "assets", 400),
    ("assets=" + ",".join(f"A{n}" for n in range(99)), "assets", 400),
    ("asset=BTC&asset=BTC", "asset", 400),
    ("asset=BTC&colour=red", "colour", 400),
    ("asset=BTC&api_key=fk_test_x", "api_key", 400),
    ("asset=BTC&aggregate=maybe", "aggregate", 400),
    ("asset=BTC&venue=kraken", "venue", 400),
    ("asset=BTC&venue=", "venue", 400),
    ("asset=BTC&format=xml", "format", 400),
    ("asset=BTC&limit=10", "limit", 400),
    ("asset=BTC&interval=1h", "interval", 400),
    ("asset=BTC&from=yesterday", "from", 400),
    ("asset=BTC&from=2026-05-17&interval=7m", "interval", 400),
    ("asset=BTC&from=2026-05-17&limit=0", "limit", 400),
    ("asset=BTC&from=2026-05-17&limit=5001", "limit", 400),
    ("asset=BTC&from=2026-05-17&limit=" + "9" * 300, "limit", 400),
    ("asset=BTC&from=2026-05-17&limit=-1", "limit", 400),
    ("asset=BTC&from=2026-05-17&to=2026-05-16", "from", 400),
    ("asset=BTC&from=2026-05-17&to=2026-05-17", "from", 400),
    ("asset=BTC&from=2020-01-01&to=2026-05-17", "from", 400),
    ("asset=BTC&from=2030-01-01", "from", 400),
    ("asset=BTC&as_of=2030-01-01", "as_of", 400),
    ("asset=BTC&as_of=99999999999999999999", "as_of", 400),
    ("assets=BTC,ETH&from=2026-05-17", "assets", 400),
    ("asset=B%00TC", "asset", 400),
    ("asset=BTC&venue=%00", "venue", 400),
    ("asset=BTC&cursor=%00", "cursor", 400),
    ("asset=%ff%fe", "query", 400),
    ("%ed%a0%80=BTC", "query", 400),
    ("asset=" + "A" * 10_240, "query", 400),
    ("&".join("a=1" for _ in range(2000)), "query", 400),
    ("asset=BTC&cursor=", "cursor", 400),
    ("asset=BTC&cursor=abc", "cursor", 400),
    ("asset=BTC&cursor=" + "A" * 900, "cursor", 400),
    ("asset=BTC&cursor=" + cursor()[:-3], "cursor", 400),
    ("asset=BTC&cursor=" + cursor(metric="markets.volume_flow"), "cursor", 400),
    ("asset=BTC&cursor=" + cursor(asset="ETH"), "cursor", 400),
    ("asset=BTC&cursor=" + cursor(interval="5m"), "cursor", 400),
    ("asset=BTC&cursor=" + cursor(venues=("kraken",)), "cursor", 400),
    ("asset=BTC&cursor=" + cursor(start_ms=0), "cursor", 400),
    ("asset=BTC&cursor=" + cursor(end_ms=10**17), "cursor", 400),
    ("asset=BTC&cursor=" + cursor(start_ms=NOW_MS, end_ms=START), "cursor", 400),
    ("asset=BTC&cursor=" + cursor() + "&interval=1d", "cursor", 400),
    ("asset=BTC&cursor=" + cursor() + "&venue=okx", "cursor", 400),
    ("asset=BTC&cursor=" + cursor() + "&from=2026-05-01", "cursor", 400),
    ("asset=BTC&cursor=" + cursor() + "&to=2026-05-18", "cursor", 400),
    ("asset=BTC&cursor=" + cursor() + "&as_of=2026-05-17", "cursor", 400),
]


@pytest.mark.parametrize(("query", "param", "status"), WRONG)
def test_a_wrong_parameter_is_named(
    published: Market, api: Api, query: str, param: str, status: int
) -> None:
    response = api.get(FUNDING, query)
    problem = response.json()
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    assert problem["param"] == param
    assert problem["code"] == ("invalid_parameter" if status == 400 else "unknown_asset")
    assert problem["expected"]
    assert problem["detail"]
    assert problem["type"] == f"/docs/errors/#{problem['code']}"
    assert problem["request_id"] == response["X-Request-Id"]
    assert "X-RateLimit-Remaining" in response


def test_an_unknown_venue_names_the_known(published: Market, api: Api) -> None:
    problem = api.get(FLOW, "asset=BTC&venue=kraken").json()
    assert "binance, bybit, okx, deribit, hyperliquid" in problem["detail"]
    assert problem["received"] == "kraken"


def test_an_unacceptable_format_is_406(published: Market, api: Api) -> None:
    response = api.get(FUNDING, "asset=BTC", Accept="image/png")
    assert (response.status_code, response.json()["code"]) == (406, "not_acceptable")


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_a_wrong_method_is_405_with_allow(published: Market, api: Api, method: str) -> None:
    response = getattr(api.client, method)(FUNDING, headers=api.customer.headers)
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response["Allow"] == "GET, HEAD, OPTIONS"
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/",
        "/v1/market/funding",
        "/v1/markets/funding/",
        "/v1/markets/f%00x",
        "/v1/meta/x",
    ],
)
def test_an_unknown_address_is_a_problem_document(api: Api, path: str) -> None:
    response = api.get(path)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", [FUNDING, FLOW, LIQUIDATIONS])
class TestKeys:
    """Who may read."""

    def test_without_a_key_it_is_401(self, published: Market, path: str) -> None:
        response = Client().get(path, {"asset": "BTC"})
        assert (response.status_code, response.json()["code"]) == (401, "missing_api_key")
        assert response["WWW-Authenticate"]

    def test_a_mistyped_key_is_401(self, published: Market, path: str) -> None:
        response = Client().get(path, {"asset": "BTC"}, headers={"X-API-Key": "fk_test_abc"})
        assert (response.status_code, response.json()["code"]) == (401, "invalid_api_key")

    def test_a_bearer_key_works(self, published: Market, api: Api, path: str) -> None:
        bearer = {"Authorization": f"Bearer {api.customer.plaintext}"}
        assert Client().get(path, {"asset": "BTC"}, headers=bearer).status_code == 200

    def test_pro_reads_layer_1(self, published: Market, path: str) -> None:
        assert Api(make_customer("pro")).get(path, "asset=BTC").status_code == 200

    def test_a_plan_without_the_layer_is_403(self, published: Market, path: str) -> None:
        response = Api(make_customer("enterprise", layers=["L2"])).get(path, "asset=BTC")
        problem = response.json()
        assert (response.status_code, problem["code"]) == (403, "tier_required")
        assert problem["required_layer"] == "L1"


def test_a_cookie_with_a_nul_is_no_500(published: Market) -> None:
    client = Client(raise_request_exception=False)
    client.cookies["sessionid"] = "abcdefgh\x00abcdefgh"
    for path in (FUNDING, "/account/api", "/docs/"):
        assert client.get(path, {"asset": "BTC"}).status_code in (200, 302, 401, 400)


_text = st.text(max_size=40)
_value = st.one_of(
    _text,
    st.sampled_from(
        ["BTC", "*", "true", "1h", "8h", "2026-05-17", "0", "-1", "csv", "bybit", "\x00"]
    ),
    st.integers().map(str),
    st.floats().map(str),
)
_queries = st.dictionaries(st.one_of(st.sampled_from(PARAMETERS), _text), _value, max_size=8)
_moments = st.one_of(
    st.integers(1_262_304_000, 4_102_444_799),
    st.integers((NOW_MS - 40 * DAY) // 1000, NOW_MS // 1000),
    st.integers(1_262_304_000_000, NOW_MS),
).map(str)
_sensible = st.fixed_dictionaries(
    {"asset": st.sampled_from(["BTC", "ETH", "PEPE", "btc"])},
    optional={
        "as_of": _moments,
        "from": _moments,
        "to": _moments,
        "interval": st.sampled_from(["1m", "5m", "1h", "4h", "8h", "1d", "1w", "event"]),
        "limit": st.sampled_from(["1", "17", "5000", "0"]),
        "format": st.sampled_from(["csv", "json", "ndjson"]),
        "venue": st.sampled_from(["bybit", "deribit", "okx,binance"]),
        "aggregate": st.sampled_from(["true", "0"]),
        "kind": st.sampled_from(["perp", "spot"]),
    },
)
_fuzz = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def assert_answered(response: Any) -> None:
    """A good answer or a named refusal. An asset that this small market never published is a 503."""
    if response.status_code == 503:
        assert response.json()["code"] == "snapshot_unavailable"
        return
    assert response.status_code < 500, response.content
    if response.status_code >= 400:
        assert response.json()["code"] in ("invalid_parameter", "unknown_asset"), response.content


@_fuzz
@given(query=_queries, path=st.sampled_from([FUNDING, FLOW]))
def test_no_query_makes_a_500(
    published: Market, unlimited: Api, query: dict[str, str], path: str
) -> None:
    assert_answered(unlimited.get(path, query))


@_fuzz
@given(
    query=_sensible,
    path=st.sampled_from([FUNDING, FLOW, OPEN_INTEREST, OHLCV, BASIS, POSITIONING, LIQUIDATIONS]),
)
def test_no_sensible_query_makes_a_500(
    published: Market, unlimited: Api, query: dict[str, str], path: str
) -> None:
    assert_answered(unlimited.get(path, query))


@_fuzz
@given(raw=st.text(st.characters(codec="ascii"), max_size=200))
def test_no_raw_query_makes_a_500(published: Market, unlimited: Api, raw: str) -> None:
    response = unlimited.get(FUNDING, raw)
    assert response.status_code < 500 or response.status_code == 503
