"""The status page says what /v1/meta/status says, also when a store is away."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.core.redis import market_key, sync_redis

pytestmark = pytest.mark.django_db(databases=["default", "market"])


def test_it_names_every_part_with_its_state() -> None:
    told = Client().get("/v1/meta/status").json()
    text = Client().get("/status/").content.decode()
    for part in told["components"]:
        assert f"<td>{part['name']}</td>" in text
    for venue in told["sources"]:
        assert f"<td>{venue['venue']}</td>" in text


def test_progress_of_history_is_shown() -> None:
    sync_redis().hset(
        market_key("backfill"), mapping={"state": "running", "done": 1234, "total": 5000}
    )
    try:
        text = Client().get("/status/").content.decode()
    finally:
        sync_redis().delete(market_key("backfill"))
    assert 'id="required" max="5000" value="1234"' in text
    assert "1,234 / 5,000" in text


def test_it_renews_the_board_alone() -> None:
    text = Client().get("/status/", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in text
    assert 'role="status"' in text


def test_it_is_never_cached() -> None:
    assert "no-store" in Client().get("/status/")["Cache-Control"]
