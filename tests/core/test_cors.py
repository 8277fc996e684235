"""Other origins may read with a key header; cookies of ours do not travel."""

from __future__ import annotations

import pytest
from django.test import Client

PREFLIGHT = {
    "Origin": "https://bot.example",
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "x-api-key",
}


@pytest.mark.parametrize("path", ["/v1/markets/funding", "/v1/meta/assets", "/v1/nothing"])
def test_a_preflight_needs_no_key(path: str) -> None:
    response = Client().options(path, headers=PREFLIGHT)
    assert (response.status_code, response.content) == (204, b"")
    assert response["Access-Control-Allow-Origin"] == "*"
    assert "X-API-Key" in response["Access-Control-Allow-Headers"]
    assert "GET" in response["Access-Control-Allow-Methods"]
    assert "Access-Control-Allow-Credentials" not in response


@pytest.mark.django_db
def test_pages_are_not_open() -> None:
    assert "Access-Control-Allow-Origin" not in Client().get("/docs/")
    response = Client().options("/account/api", headers=PREFLIGHT)
    assert "Access-Control-Allow-Origin" not in response


def test_errors_can_be_read_too() -> None:
    response = Client().get("/v1/nothing")
    assert response.status_code == 404
    assert response["Access-Control-Allow-Origin"] == "*"
    assert "X-RateLimit-Remaining" in response["Access-Control-Expose-Headers"]
