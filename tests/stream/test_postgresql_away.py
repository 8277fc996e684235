"""PostgreSQL taken away from a running web process: answers and sockets go on from Redis, and it says so."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from channels.db import database_sync_to_async as sync_to_async
from django.conf import settings
from django.db import connections
from django.test import Client

from apps.core.redis import sync_redis
from apps.feed.writer import BlockingFeedWriter
from apps.snapshots import store
from apps.snapshots.contracts import SnapshotDocument
from tests.customers import Customer
from tests.marketdata.proxy import CuttableProxy, through
from tests.stream.conftest import CHANNEL, World, clear_feed
from tests.stream.test_protocol import liquidation
from tests.stream.web import TIMEOUT_S, Web, database_url

pytestmark = pytest.mark.django_db(databases=["default", "market"])
PATH = "/v1/markets/funding?asset=BTC"
PATIENCE_S = 60.0
AWAY_PAGE = {
    "en": "Our database does not answer at the moment",
    "pl": "Nasza baza danych chwilowo nie odpowiada",
}


@dataclass(frozen=True)
class Ways:
    """The ways to both databases."""

    proxies: tuple[CuttableProxy, ...]

    def cut(self) -> None:
        for one in self.proxies:
            one.cut()

    def restore(self) -> None:
        for one in self.proxies:
            one.restore()


@pytest.fixture
def ways(world: World, tmp_path: Path) -> Iterator[tuple[Ways, Web]]:
    clear_feed()
    proxies, environment = [], {}
    for name, alias in (("DATABASE_URL", "default"), ("MARKET_DATABASE_URL", "market")):
        proxy, environment[name] = through(database_url(alias))
        proxies.append(proxy)
    web = Web(tmp_path / "web.log", environment).start()
    try:
        yield Ways(tuple(proxies)), web
    finally:
        web.stop()
        for one in proxies:
            one.cut()
        clear_feed()


@pytest.fixture
async def http(ways: tuple[Ways, Web]) -> AsyncIterator[httpx.AsyncClient]:
    async with ways[1].http() as client:
        yield client


def signed_in(customer: Customer) -> dict[str, str]:
    client = Client()
    client.force_login(customer.user)
    return {settings.SESSION_COOKIE_NAME: client.cookies[settings.SESSION_COOKIE_NAME].value}


def publish(rate: float) -> None:
    now_ms = time.time_ns() // 1_000_000
    meta = {"partial": False, "staleness_seconds": 0, "freshness": "fresh"}
    payload = {"asset": "BTC", "aggregate": {"value": rate}, "venues": {}, "meta": meta}
    document = SnapshotDocument.from_payload(
        "markets.funding", payload,
        version=time.time_ns() // 1_000, snapshot_ts_ms=now_ms, cadence_s=15,
    )  # fmt: skip
    try:
        store.publish_many([document])
    finally:
        # This thread's own, which would hold the test database.
        connections.close_all()


async def test_answers_and_sockets_go_on_and_readiness_and_pages_say_so(
    ways: tuple[Ways, Web], http: httpx.AsyncClient, world: World, feed: BlockingFeedWriter
) -> None:
    way, web = ways
    key = {"X-API-Key": world.eve.plaintext}
    session = await sync_to_async(signed_in)(world.eve)
    async with web.http(cookies=session) as page:
        assert (await page.get("/account/api")).status_code == 200
    await asyncio.to_thread(publish, 1.0)
    first = await http.get(PATH, headers=key)
    assert (first.status_code, first.json()["aggregate"]) == (200, {"value": 1.0})
    async with web.socket(world.eve.plaintext) as socket:
        await socket.subscribe(CHANNEL)
        await asyncio.to_thread(way.cut)

        # What is published from now on is served, to keys that Redis knows.
        await asyncio.to_thread(publish, 2.0)
        now = await http.get(PATH, headers=key)
        assert (now.status_code, now.json()["aggregate"]) == (200, {"value": 2.0})
        assert int(now.headers["X-RateLimit-Remaining"]) < int(
            first.headers["X-RateLimit-Remaining"]
        )
        begin_s = time.monotonic()
        other = await http.get(PATH, headers={"X-API-Key": world.alice.plaintext})
        assert other.status_code == 200
        assert time.monotonic() - begin_s < TIMEOUT_S
        await asyncio.to_thread(feed.append, CHANNEL, liquidation(7), 1)
        update = await socket.until(type="update")
        assert update["data"]["id"] == "7"
        async with web.socket(world.bob.plaintext) as late:
            await late.subscribe(CHANNEL)

        ready = await http.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["checks"]["postgresql"].startswith("away")
        assert (await http.get("/health/live")).status_code == 200
        await check_pages(http, key)
        for language, text in AWAY_PAGE.items():
            await check_signed_in(web, session, language, text)

        await asyncio.to_thread(way.restore)
        deadline = time.monotonic() + PATIENCE_S
        while "away" in (await http.get("/health/ready")).json()["checks"]["postgresql"]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        await socket.say(op="ping")
        await socket.until(op="pong")
    # Every request that was served meanwhile waits for its line in the log.
    assert sync_redis().xlen("focsal:usage:admissions") >= 3


async def check_signed_in(web: Web, session: dict[str, str], language: str, text: str) -> None:
    """503 in the look of the other pages and in the reader's language, also where sessions are read."""
    languages = {"Accept-Language": language}
    async with web.http(cookies={**session, "theme": "dark"}, headers=languages) as page:
        for path in ("/account/api", "/account/usage/", "/account/webhooks/", "/admin/"):
            answer = await page.get(path)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5"), path
            assert answer.headers["Content-Type"].startswith("text/html")
            assert answer.headers["Cache-Control"] == "no-store"
            assert f'<html lang="{language}" data-theme="dark">' in answer.text
            assert f"<h1>{text}</h1>" in answer.text
            assert "css/site" in answer.text
        # Machines read a problem document.
        told = await page.post("/v1/ws/ticket")
        assert (told.status_code, told.headers["Retry-After"]) == (503, "5"), told.text
        assert told.json()["code"] == "not_ready"


async def check_pages(http: httpx.AsyncClient, key: dict[str, str]) -> None:
    """The status says it, everything public is shown, and what needs the database is no defect of ours."""
    told = (await http.get("/v1/meta/status", headers=key)).json()
    parts = {one["name"]: one["status"] for one in told["components"]}
    assert (told["status"], parts["database"], parts["redis"]) == ("down", "down", "ok")
    page = await http.get("/status/")
    assert page.status_code == 200
    text = " ".join(re.sub(r"<[^>]*>", " ", page.text).split())
    assert re.search(r"[Dd]atabase\W+(\w+\W+){0,8}down", text), text
    for path in ("/", "/docs/", "/pricing/"):
        assert (await http.get(path)).status_code == 200, path
    history = await http.get(f"{PATH}&interval=8h&from=2026-11-01T00:00:00Z", headers=key)
    assert history.status_code == 503, history.text
    assert history.headers["Retry-After"]
