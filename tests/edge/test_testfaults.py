"""Test faults through the edge and through Django alone: the caller's answer, nobody else's."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connections
from django.test import override_settings

from apps.core.clock import market_clock
from apps.core.testfaults.header import WORDS, FaultWord
from apps.core.testfaults.rest import _WAITING_AT_ONCE, _waiting
from apps.edge.app import EdgeApplication
from apps.keys.services import key_create, records_sync
from focsal.asgi import django_application
from tests.edge.asgi import Answer, ask
from tests.edge.conftest import NOW_MS, World, fresh_limits

pytestmark = pytest.mark.django_db(databases=["default", "market"])
PATH = "/v1/markets/funding?asset=BTC"


def keyed(world: World, fault: str | None = None, **more: str) -> dict[str, str]:
    headers = {"X-API-Key": world.alice.plaintext, **more}
    return headers if fault is None else {**headers, "X-Test-Fault": fault}


@pytest.fixture(params=["edge", "django"])
def app(request: pytest.FixtureRequest, edge: EdgeApplication, world: World) -> Any:
    fresh_limits(world)
    # Ages are told in seconds: answers are compared with each other.
    market_clock.freeze(NOW_MS * 1_000_000)
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


def is_plain(answer: Answer, plain: Answer) -> bool:
    return answer.body == plain.body


def says(*path: str, value: Any) -> Callable[[Answer, Answer], bool]:
    def check(answer: Answer, _plain: Answer) -> bool:
        found = orjson.loads(answer.body)
        for name in path:
            found = found[name]
        return bool(found == value)

    return check


def is_refused(status: int, code: str) -> Callable[[Answer, Answer], bool]:
    def check(answer: Answer, _plain: Answer) -> bool:
        return (answer.status, orjson.loads(answer.body)["code"]) == (status, code)

    return check


def is_no_json(answer: Answer, plain: Answer) -> bool:
    return plain.body.startswith(answer.body[:40]) and not answer.body.endswith(b"}")


CHECKS: dict[str, Callable[[Answer, Answer], bool]] = {
    "venue_down": says("venues", value={"binance": None}),
    "snapshot_stale": says("meta", "freshness", value="stale"),
    "snapshot_very_stale": says("meta", "freshness", value="very_stale"),
    "snapshot_missing": is_refused(503, "snapshot_unavailable"),
    "no_data": says("aggregate", "null_reason", value="no_data"),
    "rate_limited": is_refused(429, "rate_limited"),
    "quota_exceeded": is_refused(429, "quota_exceeded"),
    "server_error": is_refused(500, "internal"),
    "overloaded": is_refused(503, "overloaded"),
    "slow": is_plain,
    "truncated": is_no_json,
    "disconnect": is_plain,
    "gap": is_plain,
}


@pytest.mark.parametrize("word", WORDS, ids=lambda one: one.name)
async def test_every_word_does_what_is_documented(app: Any, world: World, word: FaultWord) -> None:
    text = word.form.replace("<venue>", "binance").replace("<seconds>", "0.1")
    plain = await ask(app, PATH, keyed(world))
    held = {"If-None-Match": plain.headers["etag"]}
    faulty = await ask(app, PATH, keyed(world, text, **held))
    assert CHECKS[word.name](faulty, plain), faulty.body
    assert faulty.headers["x-test-fault-applied"] == text
    assert cached(faulty) == (None, "no-store")
    again = await ask(app, PATH, keyed(world))
    assert (again.body, cached(again)) == (plain.body, cached(plain))
    assert (await ask(app, PATH, keyed(world, **held))).status == 304


async def test_several_at_once(app: Any, world: World) -> None:
    begin = time.monotonic()
    text = "venue_down:binance, snapshot_very_stale, slow:0.2s"
    answer = await ask(app, PATH, keyed(world, text))
    assert time.monotonic() - begin >= 0.2
    told = orjson.loads(answer.body)
    assert (told["venues"], told["meta"]["freshness"]) == ({"binance": None}, "very_stale")
    assert answer.headers["x-test-fault-applied"] == text
    # Of two refusals the first is given; with one that is not known, none.
    first = await ask(app, PATH, keyed(world, "overloaded, rate_limited"))
    assert (first.status, orjson.loads(first.body)["code"]) == (503, "overloaded")
    wrong = await ask(app, PATH, keyed(world, "rate_limited, earthquake"))
    assert (wrong.status, orjson.loads(wrong.body)["code"]) == (400, "invalid_parameter")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("earthquake", "expected one of the faults that are allowed, received 'earthquake'"),
        ("slow", "expected slow:<seconds>s, received 'slow'"),
        ("truncated:3", "expected truncated, received 'truncated:3'"),
        ("venue_down:nyse", "expected a venue of binance, bybit, okx, deribit, hyperliquid, "
         "received 'nyse'"),
        ("slow:11s", "expected 0s to 10s, received '11s'"),
        ("slow:nan", "expected 0s to 10s, received 'nan'"),
        (",", "expected 1 to 5 faults, received ','"),
        ("gap," * 6, "expected 1 to 5 faults, received 'gap,gap,gap,gap,gap,gap,'"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_said(app: Any, world: World, text: str, told: str) -> None:
    answer = await ask(app, PATH, keyed(world, text))
    problem = orjson.loads(answer.body)
    assert (answer.status, problem["param"]) == (400, "X-Test-Fault")
    assert told in problem["detail"]


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


async def test_live_keys_have_no_faults(world: World, published: None) -> None:
    """On live the header is refused, so that nobody believes that a rehearsal was one."""
    # The edge leaves requests with the header to Django.
    app = django_application
    market_clock.freeze(NOW_MS * 1_000_000)
    key = await sync_to_async(live_key)(world)
    with override_settings(KEY_ENVIRONMENT="live"):
        plain = await ask(app, "/v1/markets/funding?asset=BTC&from=2025-11-20", {"X-API-Key": key})
        asked = {"X-API-Key": key, "X-Test-Fault": "server_error"}
        answer = await ask(app, PATH, asked)
    problem = orjson.loads(answer.body)
    assert plain.status == 200
    assert (answer.status, problem["code"], problem["param"]) == (
        400, "invalid_parameter", "X-Test-Fault",
    )  # fmt: skip
    assert "fk_test_ keys" in problem["detail"]
    assert "x-test-fault-applied" not in answer.headers


def live_key(world: World) -> str:
    try:
        created = key_create(account=world.eve.account, name="live", environment="live")
        records_sync(key_ids=[created.key.pk])
        return created.plaintext
    finally:
        # The thread's own would hold the test database.
        connections.close_all()
