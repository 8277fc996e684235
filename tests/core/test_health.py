"""Liveness asks nothing, readiness asks everything and tells no secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import redis
from django.db import OperationalError, connections
from django.test import Client

from apps.core import health
from apps.core.clock import market_clock
from apps.core.health import CORE_CHECKS, Check, CheckResult, readiness_view
from apps.core.redis import market_key, sync_redis
from apps.edge import readiness
from apps.marketdata.live import SOURCE_DOWN, SOURCE_OK, SourceStatus, encode_sources, sources_key
from apps.marketdata.universe import HOT, AssetTier
from apps.snapshots.registry import all_specs
from apps.snapshots.services import made_with_key

NOT_BEGUN = {"state": "waiting", "done": 0, "total": 0}
both_databases = pytest.mark.django_db(databases=["default", "market"])


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Redis as a ready sandbox leaves it: HOT snapshots, a finished backfill, venues that deliver."""
    monkeypatch.setattr(readiness.venues_check, "is_settled", True)
    monkeypatch.setattr(readiness.snapshots_check, "is_settled", False)
    client: Any = sync_redis()
    names = [market_key("snap", spec.metric, asset) for spec in all_specs() for asset in HOT]
    for name in names:
        client.hset(name, "v", 1)
    progress = {"done": 65, "total": 65, "state": "ready", "phase": "history"}
    client.hset(market_key("backfill"), mapping=progress)
    made_with = [made_with_key(spec.metric, tier) for spec in all_specs() for tier in AssetTier]
    for name in made_with:
        client.set(name, "0:7|ready:binance+okx")
    yield client
    client.delete(*names, market_key("backfill"), *made_with)


def _get(client: Client, path: str) -> tuple[int, Any, Any]:
    response = client.get(path)
    return response.status_code, json.loads(response.content), response


def test_live_needs_no_database_and_no_redis(client: Client) -> None:
    status, document, response = _get(client, "/health/live")
    assert (status, document) == (200, {"status": "live"})
    assert response["Cache-Control"] == "no-store"
    assert response["X-Request-Id"]


@both_databases
def test_ready_when_everything_is_there(client: Client, market: Any) -> None:
    status, document, response = _get(client, "/health/ready")
    assert status == 200
    assert document == {
        "status": "ready",
        "checks": dict.fromkeys(
            ["serving", "postgresql", "redis", "migrations", "snapshots", "backfill", "venues"],
            "ok",
        ),
        "backfill": {"done": 65, "total": 65, "phase": "history", "background": NOT_BEGUN},
    }
    assert response["Cache-Control"] == "no-store"


@both_databases
def test_not_ready_is_a_problem_with_progress(client: Client, market: Any) -> None:
    market.hset(market_key("backfill"), mapping={"done": 12, "state": "running", "phase": "bars"})
    market.delete(market_key("snap", all_specs()[0].metric, "BTC"))
    status, document, response = _get(client, "/health/ready")
    total = len(all_specs()) * len(HOT)
    assert (status, document["code"], document["status"]) == (503, "not_ready", 503)
    assert document["detail"] == "Waiting for: snapshots, backfill."
    assert (
        document["checks"]["snapshots"]
        == f"missing: {total - 1} of {total} snapshots are published."
    )
    assert document["backfill"] == {
        **{"done": 12, "total": 65, "phase": "bars"},
        "background": NOT_BEGUN,
    }
    assert response["Content-Type"] == "application/problem+json"
    assert (response["Retry-After"], document["retry_after"]) == ("2", 2)


@both_databases
def test_a_fresh_start_has_no_progress_yet(client: Client) -> None:
    sync_redis().delete(market_key("backfill"))
    _, document, _ = _get(client, "/health/ready")
    assert document["backfill"] == {
        **{"done": 0, "total": 0, "phase": "waiting"},
        "background": NOT_BEGUN,
    }


@pytest.mark.parametrize("tier", AssetTier)
def test_snapshots_without_their_history_are_not_enough(market: Any, tier: AssetTier) -> None:
    check = readiness.SnapshotsCheck()
    name = made_with_key(all_specs()[0].metric, tier)
    market.set(name, "0:7|running:")
    assert check().status == "running"
    # Of a run that has ended: too old to count.
    market.delete(name)
    assert check().status == "running"
    market.set(name, "0:8|ready:binance")
    assert check().is_ok
    # Later trouble of the workers is no reason to take a web process out of service.
    market.delete(name)
    assert check().is_ok


def test_a_replay_is_ready_with_its_first_snapshot(market: Any, settings: Any) -> None:
    settings.MARKET = "replay"
    check = readiness.SnapshotsCheck()
    assert not check().is_ok
    name = market_key("snap", all_specs()[0].metric, "BTC")
    sync_redis().hset(name, "v", 1)
    try:
        assert check().is_ok
        assert readiness.check_backfill().is_ok
    finally:
        sync_redis().delete(name)


def test_a_start_is_over_when_venues_have_delivered_for_a_while(market: Any) -> None:
    seconds = 100.0
    check = readiness.VenuesCheck(lambda: seconds)

    def heard(status: str, age_ms: int = 0) -> str:
        source = SourceStatus(
            venue="binance", status=status, last_ok_ms=market_clock.now_ms() - age_ms
        )
        market.hset(sources_key(), mapping=encode_sources([source]))
        return check().status

    try:
        market.delete(sources_key())
        assert check().status == "waiting"
        assert heard(SOURCE_OK, age_ms=60_000) == "waiting"
        assert heard(SOURCE_OK) == "settling"
        seconds += 6.0
        assert heard(SOURCE_DOWN) == "waiting"
        assert heard(SOURCE_OK) == "settling"
        seconds += 6.0
        assert heard(SOURCE_OK) == "ok"
        # Later trouble of ingest is no reason to take a web process out of service.
        assert heard(SOURCE_DOWN) == "ok"
    finally:
        market.delete(sources_key())


def test_a_lost_database_is_named_without_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Any) -> Any:
        raise OperationalError('connection to "db.internal" as "focsal" failed: password s3cret')

    for alias in connections:
        monkeypatch.setattr(connections[alias], "cursor", partial(refused, connections[alias]))
    result = health.check_databases()
    assert (result.status, result.detail) == ("away", "The default database does not answer.")


def test_a_lost_redis_is_named_without_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    away = redis.Redis(host="127.0.0.1", port=1, password="s3cret")
    monkeypatch.setattr(health, "sync_redis", lambda: away)
    monkeypatch.setattr(readiness, "sync_redis", lambda: away)
    assert health.check_redis() == CheckResult("away", "Redis does not answer.")
    assert readiness.snapshots_check().status == "unknown"
    assert readiness.check_backfill().status == "unknown"


@both_databases
def test_migrations_are_looked_at_until_they_are_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([2, 1, 0, 0])
    monkeypatch.setattr(health, "_unapplied", lambda _alias: next(answers))
    check = health.MigrationsCheck()
    assert check() == CheckResult("pending", "3 migrations are not applied.")
    assert check().is_ok
    # Remembered: nothing is left to ask.
    assert check().is_ok


@both_databases
def test_the_migrations_of_this_code_are_applied() -> None:
    assert [health._unapplied(alias) for alias in health.DATABASES] == [0, 0]


def test_a_check_that_breaks_is_a_check_that_fails(rf: Any) -> None:
    def broken() -> CheckResult:
        raise ZeroDivisionError("redis://:s3cret@host")

    view = readiness_view([Check("odd", broken)])
    response = view(rf.get("/health/ready"))
    document = json.loads(response.content)
    assert response.status_code == 503
    assert document["checks"] == {"odd": "failed: The check could not be made."}
    assert b"s3cret" not in response.content


def test_other_methods_and_addresses_are_problems(client: Client) -> None:
    status, document, _ = _get(client, "/health/nothing")
    assert (status, document["code"]) == (404, "not_found")
    assert {check.name for check in CORE_CHECKS} == {"postgresql", "redis", "migrations"}
