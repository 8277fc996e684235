"""Customers, a web process and its channel, all real."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from apps.accounts.models import Account, User
from apps.core.redis import market_key, new_async_redis, sync_redis
from apps.feed.writer import BlockingFeedWriter, FeedWriter
from apps.keys.models import ApiKey
from apps.keys.services import key_create, key_revoke, records_sync
from tests.customers import Customer, clear_redis, make_customer
from tests.stream.web import Web

CHANNEL = "liquidations.BTC"


@dataclass(frozen=True)
class World:
    """Alice is on Pro, Eve and Bob on Enterprise; ``narrow`` is a key of Eve's with L1 alone."""

    alice: Customer
    eve: Customer
    bob: Customer
    narrow: str
    revoked: str


def clear_feed() -> None:
    client: Any = sync_redis()
    names = list(client.scan_iter(market_key("feed", "*"), count=1000))
    if names:
        client.delete(*names)


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    """Committed rows, for another process reads them. Tests carry the ``django_db`` mark."""
    with django_db_blocker.unblock():
        kept = {alias: connections[alias].settings_dict["CONN_MAX_AGE"] for alias in connections}
        for alias in connections:
            # Threads' connections close with their work, or the test database cannot be dropped.
            connections[alias].settings_dict["CONN_MAX_AGE"] = 0
        clear_redis()
        alice, eve = make_customer("pro", "alice"), make_customer("enterprise", "eve")
        bob = make_customer("enterprise", "bob")
        environment = eve.key.environment
        narrow = key_create(
            account=eve.account, name="narrow", environment=environment, layers=["L1"]
        )
        revoked = key_create(account=eve.account, name="old", environment=environment)
        key_revoke(account_id=eve.account.pk, key_id=revoked.key.pk)
        records_sync(key_ids=list(ApiKey.objects.values_list("pk", flat=True)))
        yield World(alice, eve, bob, narrow.plaintext, revoked.plaintext)
        clear_redis()
        User.objects.all().delete()
        Account.objects.all().delete()
        for alias, age in kept.items():
            connections[alias].settings_dict["CONN_MAX_AGE"] = age
        connections.close_all()


@pytest.fixture(scope="module")
def web(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    clear_feed()
    server = Web(tmp_path_factory.mktemp("web") / "web.log").start()
    yield server
    server.stop()
    clear_feed()


@pytest.fixture
def second_web(world: World, tmp_path: Path) -> Iterator[Web]:
    server = Web(tmp_path / "web.log").start()
    yield server
    server.stop()


@pytest.fixture
def feed() -> BlockingFeedWriter:
    return BlockingFeedWriter(sync_redis())


@pytest.fixture
async def writer() -> AsyncIterator[FeedWriter]:
    client = new_async_redis()
    yield FeedWriter(client)
    await client.aclose()
