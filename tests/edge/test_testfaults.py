"""Test faults through the edge and through Django alone: the caller's answer, nobody else's."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from django.conf import settings
from django.test import override_settings

from apps.core.testfaults.rest import _WAITING_AT_ONCE, _waiting
from apps.edge.app import EdgeApplication
from focsal.asgi import django_application
from tests.edge.asgi import Answer, ask
from tests.edge.conftest import World, fresh_limits

pytestmark = pytest.mark.django_db(databases=["default", "market"])
PATH = "/v1/markets/funding?asset=BTC"


def keyed(world: World, fault: str | None = None, **more: str) -> dict[str, str]:
    headers = {"X-API-Key": world.alice.plaintext, **more}
    return headers if fault is None else {**headers, "X-Test-Fault": fault}


@pytest.fixture(params=["edge", "django"])
def app(request: pytest.FixtureRequest, edge: EdgeApplication, world: World) -> Any:
    fresh_limits(world)
    return edge if request.param == "edge" else django_application


def cached(answer: Answer) -> tuple[str | None, str | None]:
    return answer.headers.get("etag"), answer.headers.get("cache-control")


async def test_a_fault_is_for_its_caller_alone(app: Any, world: World) -> None:
    plain = await ask(app, PATH, keyed(world))
    assert plain.status == 200
    assert "x-test-fault-applied" not in plain.headers
    faulty = await ask(app, PATH, keyed(world, "venue_down:binance"))
    assert faulty.status == 200
    assert orjson.loads(faulty.body)["venues"] == {"binance": None}
    assert faulty.headers["x-test-fault-applied"] == "venue_down:binance"
    assert cached(faulty) == (None, "no-store")
    assert faulty.headers["x-ratelimit-limit"] == plain.headers["x-ratelimit-limit"]
    eve = await ask(app, PATH, {"X-API-Key": world.eve.plaintext})
    again = await ask(app, PATH, keyed(world))
    assert eve.body == again.body == plain.body
    assert cached(eve) == cached(again) == cached(plain)


async def test_an_unchanged_snapshot_is_no_304_with_a_fault(app: Any, world: World) -> None:
    plain = await ask(app, PATH, keyed(world))
    held = {"If-None-Match": plain.headers["etag"]}
    assert (await ask(app, PATH, keyed(world, **held))).status == 304
    faulty = await ask(app, PATH, keyed(world, "snapshot_stale", **held))
    assert faulty.status == 200
    assert orjson.loads(faulty.body)["meta"]["freshness"] == "stale"


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("rate_limited", 429, "rate_limited"),
        ("quota_exceeded", 429, "quota_exceeded"),
        ("server_error", 500, "internal"),
        ("overloaded", 503, "overloaded"),
        ("snapshot_missing", 503, "snapshot_unavailable"),
        ("earthquake", 400, "invalid_parameter"),
        ("venue_down:nyse", 400, "invalid_parameter"),
        ("slow:60s", 400, "invalid_parameter"),
    ],
)
async def test_refusals_are_problem_documents(
    app: Any, world: World, fault: str, status: int, code: str
) -> None:
    answer = await ask(app, PATH, keyed(world, fault))
    problem = orjson.loads(answer.body)
    assert (answer.status, problem["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    if status == 400:
        assert problem["param"] == "X-Test-Fault"
        assert "venue_down:<venue>" in problem["detail"]
    else:
        assert ("retry-after" in answer.headers) == (status in (429, 503))
        assert answer.headers["x-test-fault-applied"] == fault
    assert (await ask(app, PATH, keyed(world))).status == 200


async def test_what_counts_nothing_is_given_back(app: Any, world: World) -> None:
    before = await ask(app, PATH, keyed(world))
    refused = await ask(app, PATH, keyed(world, "rate_limited"))
    left = "x-quota-day-remaining"
    assert refused.headers[left] == before.headers[left]


async def test_slow_answers_wait_and_only_so_many_at_once(app: Any, world: World) -> None:
    begin = time.monotonic()
    answer = await ask(app, PATH, keyed(world, "slow:0.3s"))
    assert answer.status == 200
    assert time.monotonic() - begin >= 0.3
    taken = [_waiting.acquire(blocking=False) for _ in range(_WAITING_AT_ONCE)]
    try:
        refused = await ask(app, PATH, keyed(world, "slow:0.3s"))
    finally:
        for _ in taken:
            _waiting.release()
    assert all(taken)
    assert (refused.status, orjson.loads(refused.body)["code"]) == (503, "overloaded")


async def test_truncated_and_other_formats(app: Any, world: World) -> None:
    whole = await ask(app, PATH, keyed(world))
    cut = await ask(app, PATH, keyed(world, "truncated"))
    assert cut.status == 200
    assert int(cut.headers["content-length"]) == len(cut.body)
    assert abs(len(cut.body) - len(whole.body) / 2) < 40
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(cut.body)
    many = await ask(app, "/v1/markets/funding?assets=BTC", keyed(world, "venue_down:binance"))
    assert orjson.loads(many.body)["data"][0]["venues"] == {"binance": None}
    csv = await ask(app, PATH + "&format=csv", keyed(world, "venue_down:binance"))
    assert csv.status == 400
    assert "format=json" in orjson.loads(csv.body)["detail"]


async def test_history_has_faults_too(app: Any, world: World) -> None:
    path = "/v1/markets/funding?asset=BTC&from=2025-11-20&to=2025-11-21"
    assert (await ask(app, path, keyed(world))).status == 200
    cut = await ask(app, path, keyed(world, "truncated"))
    assert cut.status == 200
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(cut.body)


async def test_no_key_no_fault(app: Any) -> None:
    answer = await ask(app, PATH, {"X-Test-Fault": "slow:9s"})
    assert answer.status == 401
    public = await ask(app, "/v1/meta/plans", {"X-Test-Fault": "server_error"})
    assert public.status == 200
    assert "x-test-fault-applied" not in public.headers


async def test_on_live_the_header_is_refused(app: Any, world: World) -> None:
    assert settings.KEY_ENVIRONMENT == "test"
    plain = await ask(app, PATH, keyed(world))
    assert plain.status == 200
    with override_settings(KEY_ENVIRONMENT="live"):
        # A test key is none of this deployment's, whatever it asks for.
        answer = await ask(app, PATH, keyed(world, "server_error"))
    assert (answer.status, orjson.loads(answer.body)["code"]) == (401, "wrong_environment")
