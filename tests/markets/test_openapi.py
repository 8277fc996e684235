"""The API description: valid, complete, and true of what is really answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from django.test import Client
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from apps.core.error_guide import ERROR_GUIDE
from apps.core.errors import FocsalError
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
from tests.markets.world import NOW_MS, Market

pytestmark = pytest.mark.django_db(databases=["default", "market"])
ON_SOCKETS = {
    "already_authenticated",
    "auth_timeout",
    "going_away",
    "invalid_frame",
    "not_subscribed",
    "session_closed",
    "slow_consumer",
    "socket_limit",
    "subscription_limit",
    "unknown_channel",
    "unknown_op",
}
META = tuple(f"/v1/meta/{name}" for name in ("assets", "venues", "plans", "fields", "status"))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    response = Client().get("/openapi.json")
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": document["components"]})


def responses_of(document: dict[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][path]["get"]["responses"]
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method in ("get", "post", "put", "patch", "delete"):
            if method in methods:
                yield f"{method} {path}", methods[method]["responses"]


def check(document: dict[str, Any], path: str, status: str, media: str, body: Any) -> None:
    schema = responses_of(document, path)[status]["content"][media]["schema"]
    validator(document, schema).validate(body)


def test_it_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    validate(document)
    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]) >= {
        FUNDING,
        FLOW,
        OPEN_INTEREST,
        OHLCV,
        LIQUIDATIONS,
        BASIS,
        POSITIONING,
        *META,
    }


def test_both_header_forms_of_a_key_are_described(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert schemes["ApiKeyHeader"]["name"] == "X-API-Key"
    assert schemes["BearerKey"]["scheme"] == "bearer"
    for path in (FUNDING, FLOW, OPEN_INTEREST, OHLCV, BASIS, POSITIONING, LIQUIDATIONS):
        assert document["paths"][path]["get"]["security"] == [
            {"ApiKeyHeader": []},
            {"BearerKey": []},
        ]
    for path in META:
        assert not document["paths"][path]["get"].get("security")


def test_every_example_fits_its_schema(document: dict[str, Any]) -> None:
    seen = 0
    for _, responses in operations(document):
        for response in responses.values():
            for content in response.get("content", {}).values():
                for example in content.get("examples", {}).values():
                    validator(document, content["schema"]).validate(example["value"])
                    seen += 1
    assert seen > 40


def test_every_endpoint_has_an_example_and_every_error_one(document: dict[str, Any]) -> None:
    named: set[str] = set()
    for operation, answers in operations(document):
        good = next(answers[one] for one in ("200", "201", "202", "204") if one in answers)
        # 204 has no content.
        if good is not answers.get("204"):
            assert good["content"]["application/json"]["examples"], operation
        for response in answers.values():
            problems = response.get("content", {}).get("application/problem+json", {})
            named |= {one["value"]["code"] for one in problems.get("examples", {}).values()}
    # Readiness belongs to no endpoint of the API.
    assert named == {entry.code for entry in ERROR_GUIDE} - {"not_ready"} - ON_SOCKETS


def test_every_error_class_is_in_the_guide() -> None:
    def codes(error: type[FocsalError]) -> set[str]:
        return {error.code}.union(*(codes(one) for one in error.__subclasses__()))

    assert {entry.code for entry in ERROR_GUIDE} == codes(FocsalError)


QUERIES = [
    {"asset": "BTC"},
    {"asset": "BTC", "aggregate": "false"},
    {"asset": "ETH", "venue": "bybit"},
    {"asset": "BTC", "venue": "binance"},
    {"assets": "BTC,ETH,NOPE,SOL"},
    {"asset": "BTC", "as_of": NOW_MS - 3_600_000},
    {"asset": "BTC", "from": NOW_MS - 86_400_000},
    {"asset": "BTC", "from": NOW_MS - 86_400_000, "limit": 1},
    {"asset": "SOL", "from": NOW_MS - 86_400_000},
]


@pytest.mark.parametrize(
    "path", [FUNDING, FLOW, OPEN_INTEREST, OHLCV, BASIS, POSITIONING, LIQUIDATIONS]
)
@pytest.mark.parametrize("query", QUERIES)
def test_real_answers_fit(
    document: dict[str, Any], published: Market, api: Api, path: str, query: dict[str, Any]
) -> None:
    response = api.get(path, query)
    body = b"".join(response.streaming_content) if response.streaming else response.content
    content = orjson.loads(body)
    if query.get("aggregate") == "false":
        # The shape without the aggregate is the same but for it.
        content["aggregate"] = api.get(path, "asset=BTC").json()["aggregate"]
    if query.get("venue") == "bybit":
        # A venue without the asset has no blocks of its own.
        assert content["aggregate"]["null_reason"] == "not_listed"
        return
    check(document, path, "200", "application/json", content)


@pytest.mark.parametrize(
    "path", [FUNDING, FLOW, OPEN_INTEREST, OHLCV, BASIS, POSITIONING, LIQUIDATIONS]
)
@pytest.mark.parametrize(
    ("query", "status"), [("asset=BTC&x=1", "400"), ("asset=NOPE", "404"), ("asset=SOL", "503")]
)
def test_real_problems_fit(
    document: dict[str, Any], published: Market, api: Api, path: str, query: str, status: str
) -> None:
    response = api.get(path, query)
    assert str(response.status_code) == status
    check(document, path, status, "application/problem+json", response.json())


@pytest.mark.parametrize("path", META)
def test_meta_answers_fit(document: dict[str, Any], published: Market, path: str) -> None:
    response = Client().get(path)
    assert response.status_code == 200
    check(document, path, "200", "application/json", response.json())


def test_it_answers_304() -> None:
    etag = Client().get("/openapi.json")["ETag"]
    assert Client().get("/openapi.json", headers={"If-None-Match": etag}).status_code == 304


def test_it_is_open_to_other_origins() -> None:
    assert Client().get("/openapi.json")["Access-Control-Allow-Origin"] == "*"
