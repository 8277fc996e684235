"""What the edge does besides being equal: memory, load, failures, lost clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from apps.core.redis import sync_redis
from apps.edge import app as edge_module
from apps.edge import door
from apps.edge.app import EdgeApplication
from apps.edge.redis_pipe import RedisAway, RedisBusy
from apps.keys.format import new_key
from apps.snapshots import store
from apps.snapshots.models import SnapshotLatest
from apps.tiers.limits import ADMISSIONS_STREAM, COMPLETIONS_STREAM
from apps.usage import spool
from focsal.asgi import django_application
from tests.edge.asgi import Answer, ask, http_scope
from tests.edge.conftest import NOW_MS, World, document

pytestmark = pytest.mark.django_db(databases=["default", "market"])
METRIC = "markets.funding"
TARGET = "/v1/markets/funding?asset=BTC"


def _events(stream: str) -> list[dict[bytes, bytes]]:
    client: Any = sync_redis()
    return [fields for _, fields in client.xrange(stream)]


async def test_the_second_answer_comes_from_memory(
    world: World, frozen: None, edge: EdgeApplication
) -> None:
    first = await ask(edge, TARGET, world.alice.headers)
    second = await ask(edge, TARGET, world.alice.headers)
    assert first.body == second.body
    assert (edge.metrics.cache_misses, edge.metrics.cache_hits) == (1, 1)
    assert edge.metrics.requests[("/v1/markets/funding", 200)] == 2


async def test_a_new_version_replaces_the_old_one_at_once(
    world: World, frozen: None, edge: EdgeApplication
) -> None:
    before = await ask(edge, TARGET, world.alice.headers)
    store._publish_redis([document(METRIC, "BTC", version=1_763_712_030_000_000)])
    after = await ask(edge, TARGET, world.alice.headers)
    assert before.headers["etag"] != after.headers["etag"]
    assert orjson.loads(after.body)["meta"]["version_of_test"] == 1_763_712_030_000_000


async def test_the_age_grows_without_a_new_snapshot(
    world: World, frozen: None, edge: EdgeApplication, market_time: Any
) -> None:
    ages = []
    for later_s in (0, 1, 111, 300):
        market_time(NOW_MS + later_s * 1000)
        meta = orjson.loads((await ask(edge, TARGET, world.alice.headers)).body)["meta"]
        ages.append((meta["staleness_seconds"], meta["freshness"]))
    assert ages == [(10, "fresh"), (11, "fresh"), (121, "stale"), (310, "very_stale")]
    assert edge.metrics.cache_misses == 1


async def test_a_caller_without_request_id_gets_one(world: World, edge: EdgeApplication) -> None:
    answer = await ask(edge, TARGET, world.alice.headers)
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-request-id"].encode() == _events(ADMISSIONS_STREAM)[0][b"r"]


async def test_completions_are_recorded_in_batches_and_flushed_at_the_end(
    world: World, edge: EdgeApplication
) -> None:
    answers = [await ask(edge, TARGET, world.alice.headers) for _ in range(3)]
    await edge.stop()
    recorded = [event[b"c"].decode().split(",") for event in _events(COMPLETIONS_STREAM)]
    assert [row[2] for row in recorded] == ["200"] * 3
    assert [int(row[4]) for row in recorded] == [len(answer.body) for answer in answers]


async def test_exactly_the_limit_gets_through_in_parallel(
    world: World, edge: EdgeApplication
) -> None:
    answers = await asyncio.gather(*(ask(edge, TARGET, world.alice.headers) for _ in range(500)))
    statuses = [answer.status for answer in answers]
    assert (statuses.count(200), statuses.count(429)) == (40, 460)
    # Every one of the 40 says another remainder.
    left = {one.headers["x-ratelimit-remaining"] for one in answers if one.status == 200}
    assert left == {str(number) for number in range(40)}


async def test_a_session_cookie_goes_to_django(world: World, edge: EdgeApplication) -> None:
    answer = await ask(edge, TARGET, {"Cookie": "sessionid=nobody"})
    assert answer.status == 401
    assert edge.metrics.requests == {}


async def test_meta_and_unknown_routes_are_not_admitted(
    world: World, edge: EdgeApplication
) -> None:
    for target, status in (("/v1/meta/assets", 200), ("/v1/no/such/route", 404)):
        answer = await ask(edge, target, world.alice.headers)
        assert answer.status == status
        assert "x-ratelimit-limit" not in answer.headers
    assert _events(ADMISSIONS_STREAM) == []


async def test_too_many_waiting_calls_are_shed(
    world: World, edge: EdgeApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(_packed: bytes) -> Any:
        raise RedisBusy("full")

    monkeypatch.setattr(edge._pipe, "send", busy)
    for target in (TARGET, "/v1/markets/funding?assets=BTC,ETH"):
        answer = await ask(edge, target, world.alice.headers)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert orjson.loads(answer.body)["code"] == "overloaded"
    assert edge.metrics.shed == 2


async def test_slow_admissions_are_bounded_too(
    world: World, edge: EdgeApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "MAX_DECIDING", 0)
    answer = await ask(edge, TARGET, {"X-API-Key": new_key(world.alice.key.environment)})
    assert (answer.status, orjson.loads(answer.body)["code"]) == (503, "overloaded")


async def test_django_is_protected_from_a_crowd(
    world: World, edge: EdgeApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_module, "MAX_INSIDE", 0)
    answer = await ask(edge, "/v1/meta/assets")
    assert (answer.status, orjson.loads(answer.body)["code"]) == (503, "overloaded")


async def test_a_defect_is_a_500_problem_and_gives_nothing_away(
    world: World, edge: EdgeApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> Any:
        raise ZeroDivisionError("internals")

    monkeypatch.setattr(edge._desk, "reply", broken)
    answer = await ask(edge, TARGET, world.alice.headers)
    assert (answer.status, orjson.loads(answer.body)["code"]) == (500, "internal")
    assert b"internals" not in answer.body


async def test_a_client_that_goes_away_leaves_nothing_behind(
    world: World, edge: EdgeApplication
) -> None:
    tasks = [asyncio.create_task(ask(edge, TARGET, world.alice.headers)) for _ in range(10)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    assert (await ask(edge, TARGET, world.eve.headers)).status == 200
    connection = edge._pipe._connection
    assert connection is not None
    assert len(connection.pending) == 0
    assert edge._inside == 0


async def test_a_crowd_that_leaves_django_is_not_counted_inside(
    world: World, edge: EdgeApplication
) -> None:
    task = asyncio.create_task(ask(edge, "/v1/meta/assets"))
    await asyncio.sleep(0)
    assert edge._inside == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert edge._inside == 0


async def test_a_restarted_redis_without_scripts_costs_one_more_question(
    world: World, edge: EdgeApplication
) -> None:
    sync_redis().script_flush()
    answer = await ask(edge, TARGET, world.alice.headers)
    assert answer.status == 200
    assert len(_events(ADMISSIONS_STREAM)) == 1


async def test_lost_counters_are_rebuilt_from_postgresql(
    world: World, edge: EdgeApplication
) -> None:
    names = list(sync_redis().scan_iter("focsal:auth:*"))
    sync_redis().delete(*names)
    answer = await ask(edge, TARGET, world.alice.headers)
    assert answer.status == 200
    assert answer.headers["x-quota-day-remaining"] == "24999"


@pytest.fixture
async def stored(world: World) -> AsyncIterator[None]:
    """The snapshot as PostgreSQL has it, committed in a thread of its own."""

    def publish() -> None:
        store._publish_database([document(METRIC, "BTC")])
        connections["market"].close()

    def clear() -> None:
        SnapshotLatest.objects.all().delete()
        connections["market"].close()

    await sync_to_async(publish)()
    yield
    await sync_to_async(clear)()


@pytest.fixture
async def alone(
    world: World, stored: None, settings: Any, tmp_path: Path
) -> AsyncIterator[EdgeApplication]:
    """An edge whose Redis is away."""
    settings.VAR_DIR = tmp_path
    application = EdgeApplication(django_application, redis_url="redis://127.0.0.1:1/0")
    await application.start()
    yield application
    await application.stop()


async def test_without_redis_keys_and_snapshots_come_from_postgresql(
    world: World, frozen: None, alone: EdgeApplication
) -> None:
    answer = await ask(alone, TARGET, world.alice.headers)
    assert answer.status == 200
    body = orjson.loads(answer.body)
    assert (body["asset"], body["meta"]["staleness_seconds"]) == ("BTC", 10)
    assert answer.headers["x-ratelimit-limit"] == "40"
    assert alone.metrics.fallback_active
    assert alone.metrics.fallback_answers == 1


async def test_without_redis_the_minute_limit_holds(world: World, alone: EdgeApplication) -> None:
    async def one() -> Answer:
        return await ask(alone, TARGET, world.alice.headers)

    statuses = [answer.status for answer in await asyncio.gather(*(one() for _ in range(60)))]
    # The test before may have used one of the 40 of this process.
    assert statuses.count(200) in (39, 40)
    assert statuses.count(200) + statuses.count(429) == 60


async def test_without_redis_usage_is_spooled(world: World, alone: EdgeApplication) -> None:
    answer = await ask(alone, TARGET, world.eve.headers)
    await alone._completions.flush()
    assert answer.status == 200
    [file] = spool.take()
    events = list(spool.read(file))
    assert sorted(event["type"] for event in events) == ["admission", "completion"]


async def test_without_redis_wrong_keys_are_still_refused(
    world: World, alone: EdgeApplication
) -> None:
    revoked = await ask(alone, TARGET, {"X-API-Key": world.revoked})
    narrow = await ask(alone, TARGET, {"X-API-Key": world.narrow})
    assert (revoked.status, orjson.loads(revoked.body)["code"]) == (401, "revoked_api_key")
    assert (narrow.status, orjson.loads(narrow.body)["code"]) == (403, "tier_required")


async def test_without_redis_a_held_copy_is_still_not_modified(
    world: World, frozen: None, alone: EdgeApplication
) -> None:
    tag = document(METRIC, "BTC").etag(NOW_MS)
    answer = await ask(alone, TARGET, {**world.eve.headers, "If-None-Match": tag})
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == tag


async def test_a_redis_that_lost_everything_is_no_reason_to_ask_django(
    world: World, frozen: None, stored: None, edge: EdgeApplication
) -> None:
    sync_redis().delete(store.snapshot_key(METRIC, "BTC"))
    answer = await ask(edge, TARGET, world.alice.headers)
    assert answer.status == 200
    assert edge.metrics.requests == {("/v1/markets/funding", 200): 1}
    assert edge.metrics.fallback_answers == 0


async def test_redis_lost_between_admission_and_body(
    world: World, frozen: None, stored: None, edge: EdgeApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> Any:
        raise RedisAway("lost")

    monkeypatch.setattr(edge._pipe, "call", away)
    answer = await ask(edge, TARGET, world.alice.headers)
    assert answer.status == 200
    assert orjson.loads(answer.body)["asset"] == "BTC"


async def test_other_scopes_go_to_the_inner_application(world: World) -> None:
    seen: list[str] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    application = EdgeApplication(inner)
    await application({"type": "websocket", "path": "/v1/ws"}, None, None)  # type: ignore[arg-type]  # nothing is received
    await application(http_scope("GET", "/docs/", {}), None, None)  # type: ignore[arg-type]  # nothing is received
    assert seen == ["websocket", "http"]
