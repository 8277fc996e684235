"""One definition, two ways: whatever the edge answers, Django alone would have answered the same.

Every request is made twice with both clocks frozen and the same limits used up: through the edge, and to
the inner application. Status, headers, body and the recorded usage must be equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.conf import settings

from apps.core.redis import sync_redis
from apps.edge.app import EdgeApplication
from apps.keys.format import new_key
from apps.snapshots import store
from apps.snapshots.registry import all_specs
from apps.tiers.limits import ADMISSIONS_STREAM, COMPLETIONS_STREAM
from focsal.asgi import django_application
from tests.edge.asgi import Answer, ask
from tests.edge.conftest import NOW_MS, WALL_US, World, document, fresh_limits

pytestmark = pytest.mark.django_db(databases=["default", "market"])
PATHS = [spec.path for spec in all_specs()]
OTHER_ENVIRONMENT = "live" if settings.KEY_ENVIRONMENT == "test" else "test"


def _tag(letter: str = "f") -> str:
    now_ms = NOW_MS if letter == "f" else NOW_MS + 150_000
    tag = document("markets.funding", "BTC").etag(now_ms)
    assert tag.endswith(f'-{letter}"')
    return tag


def _fill_minute(world: World) -> None:
    """Alice's minute is used up, oldest request 20 s ago."""
    window = f"focsal:auth:min:{world.alice.key.pk}"
    entries: dict[Any, int] = {f"r{i}": WALL_US - 20_000_000 + i * 1000 for i in range(40)}
    sync_redis().zadd(window, entries)


def _use_up(period: str) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        owner = f"{world.alice.account.pk}:{settings.KEY_ENVIRONMENT}"
        if period == "day":
            sync_redis().set(f"focsal:auth:day:{owner}:{WALL_US // 86_400_000_000}", 25_000)
        else:
            sync_redis().set(f"focsal:auth:month:{owner}:202511", 750_000)

    return prepare


def _forget_records(_world: World) -> None:
    names = list(sync_redis().scan_iter("focsal:auth:key:*"))
    sync_redis().delete(*names)


def _unpublish(_world: World) -> None:
    for spec in all_specs():
        sync_redis().delete(store.snapshot_key(spec.metric, "BTC"))


def _nothing(_world: World) -> None:
    pass


@dataclass(frozen=True)
class Case:
    """A request and what comes before it. ``key`` names whose it is, empty for none."""

    name: str
    status: int
    key: str = "alice"
    query: str = "asset=BTC"
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[World], None] = _nothing


CASES = [
    Case("happy", 200),
    Case("enterprise", 200, key="eve"),
    Case("other asset", 200, query="asset=ETH"),
    Case("lower case", 200, query="asset=btc"),
    Case("aggregate", 200, query="asset=BTC&aggregate=True"),
    Case("aggregate 1", 200, query="aggregate=1&asset=BTC"),
    Case("no aggregate", 200, query="asset=BTC&aggregate=false"),
    Case("escaped", 200, query="asset=%42TC"),
    Case("bearer", 200, key="bearer"),
    Case("json", 200, headers={"Accept": "application/json"}),
    Case("browser", 200, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}),
    Case("csv", 200, headers={"Accept": "text/csv"}),
    Case("csv parameter", 200, query="asset=BTC&format=csv"),
    Case("nothing acceptable", 406, headers={"Accept": "image/png"}),
    Case("own request id refused", 200, headers={"X-Request-Id": "bad id!"}),
    Case("several", 200, query="assets=BTC,ETH"),
    Case("not modified", 304, headers={"If-None-Match": _tag()}),
    Case("not modified, strong", 304, headers={"If-None-Match": _tag().removeprefix("W/")}),
    Case("not modified, list", 304, headers={"If-None-Match": f'"x-f", {_tag()}'}),
    Case("not modified, star", 304, headers={"If-None-Match": "*"}),
    Case("freshness changed", 200, headers={"If-None-Match": _tag("s")}),
    Case("foreign tag", 200, headers={"If-None-Match": '"abc"'}),
    Case("head", 200, method="HEAD"),
    Case("head not modified", 304, method="HEAD", headers={"If-None-Match": _tag()}),
    Case("post", 405, method="POST"),
    Case("delete", 405, method="DELETE"),
    Case("options", 204, method="OPTIONS"),
    Case("no key", 401, key=""),
    Case("no key, head", 401, key="", method="HEAD"),
    Case("no key, several", 401, key="", query="assets=BTC,ETH"),
    Case("malformed key", 401, key="malformed"),
    Case("typo", 401, key="typo"),
    Case("not ascii", 401, key="fk_test_é"),
    Case("unknown key", 401, key="unknown"),
    Case("wrong environment", 401, key="foreign"),
    Case("revoked", 401, key="revoked"),
    Case("revoked, several", 401, key="revoked", query="assets=BTC,ETH"),
    Case("basic auth", 401, key="", headers={"Authorization": "Basic eDp5"}),
    Case("empty key", 401, key="", headers={"X-API-Key": ""}),
    Case("tier", 403, key="narrow"),
    Case("tier, several", 403, key="narrow", query="assets=*"),
    Case("tier, not modified", 403, key="narrow", headers={"If-None-Match": _tag()}),
    Case("minute", 429, prepare=_fill_minute),
    Case("minute, several", 429, query="assets=*", prepare=_fill_minute),
    Case("minute, not modified", 429, headers={"If-None-Match": _tag()}, prepare=_fill_minute),
    Case("day", 429, prepare=_use_up("day")),
    Case("month", 429, prepare=_use_up("month")),
    Case("day, not modified", 304, headers={"If-None-Match": _tag()}, prepare=_use_up("day")),
    Case("unknown asset", 404, query="asset=NOPE"),
    Case("unknown asset, odd", 400, query="asset=%00%ff"),
    Case("no asset", 400, query=""),
    Case("empty asset", 404, query="asset="),
    Case("asset twice", 400, query="asset=BTC&asset=ETH"),
    Case("unknown parameter", 400, query="asset=BTC&colour=red"),
    Case("bad aggregate", 400, query="asset=BTC&aggregate=maybe"),
    Case("nul byte", 400, query="asset=BTC%00"),
    Case("long query", 400, query="asset=" + "B" * 10_000),
    Case("bad range", 400, query="asset=BTC&from=2025-01-02&to=2025-01-01"),
    Case("record not in redis", 200, prepare=_forget_records),
    Case(
        "record not in redis, 304", 304, headers={"If-None-Match": _tag()}, prepare=_forget_records
    ),
    Case("nothing published", 503, prepare=_unpublish),
    Case("nothing published, head", 503, method="HEAD", prepare=_unpublish),
    Case("wrong host", 400, headers={"Host": "evil.example"}),
]


def _key(world: World, name: str) -> dict[str, str]:
    keys = {
        "alice": world.alice.plaintext,
        "eve": world.eve.plaintext,
        "narrow": world.narrow,
        "revoked": world.revoked,
        "malformed": "fk_test_short",
        "typo": world.alice.plaintext[:-1] + ("0" if world.alice.plaintext[-1] != "0" else "1"),
        "unknown": new_key(settings.KEY_ENVIRONMENT),
        "foreign": new_key(OTHER_ENVIRONMENT),
    }
    if name == "":
        return {}
    if name == "bearer":
        return {"Authorization": f"Bearer {world.alice.plaintext}"}
    return {"X-API-Key": keys.get(name, name)}


@dataclass(frozen=True)
class Trace:
    """What a request left behind: usage events without their ids, completions without their times."""

    admissions: list[dict[str, str]]
    completions: list[tuple[str, str]]


def _trace() -> Trace:
    client: Any = sync_redis()
    admissions = [
        {name.decode(): value.decode() for name, value in event.items()}
        for _, event in client.xrange(ADMISSIONS_STREAM)
    ]
    completions = []
    for _, event in client.xrange(COMPLETIONS_STREAM):
        _, _, status, _, size, _ = event[b"c"].decode().split(",")
        completions.append((status, size))
    return Trace(admissions, completions)


async def _both(
    case: Case, path: str, world: World, edge: EdgeApplication
) -> tuple[tuple[Answer, Trace], tuple[Answer, Trace]]:
    target = f"{path}?{case.query}" if case.query else path
    headers = {"X-Request-Id": "same-for-both", **_key(world, case.key), **case.headers}
    results = []
    for app in (edge, django_application):
        fresh_limits(world)
        case.prepare(world)
        answer = await ask(app, target, headers, method=case.method)
        await edge._completions.flush()
        results.append((answer, _trace()))
    return results[0], results[1]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
async def test_the_edge_answers_as_django_would(
    case: Case, path: str, world: World, frozen: None, edge: EdgeApplication
) -> None:
    (fast, fast_trace), (slow, slow_trace) = await _both(case, path, world, edge)
    assert fast.status == case.status == slow.status, (fast, slow)
    fast_headers, slow_headers = dict(fast.headers), dict(slow.headers)
    if case.name == "own request id refused":
        # Two requests, two ids of ours.
        assert fast_headers.pop("x-request-id").startswith("req_")
        assert slow_headers.pop("x-request-id").startswith("req_")
        for trace in (fast_trace, slow_trace):
            trace.admissions[0].pop("r")
    assert fast_headers == slow_headers
    if case.method != "HEAD":
        # The server drops the body of a HEAD; the edge does not even send it.
        assert fast.body == slow.body
    assert fast_trace.admissions == slow_trace.admissions
    assert [status for status, _ in fast_trace.completions] == [
        status for status, _ in slow_trace.completions
    ]


async def test_nothing_is_charged_twice_when_django_answers(
    world: World, frozen: None, edge: EdgeApplication
) -> None:
    fresh_limits(world)
    answer = await ask(edge, f"{PATHS[0]}?assets=BTC,ETH", world.alice.headers)
    assert answer.status == 200
    assert answer.headers["x-ratelimit-remaining"] == "39"
    assert answer.headers["x-quota-day-remaining"] == "24999"
    assert len((_trace()).admissions) == 1
