"""Connections that carry books alone wait until they are wanted; all others open at once."""

from __future__ import annotations

import asyncio

import pytest

from apps.venues.stream_client import StreamSpec
from apps.venues.streaming import BaseStreamClient

BOOK = StreamSpec("public", "btcusdt@depth@100ms", "BTC", "book", 15.0)
TRADE = StreamSpec("market", "btcusdt@aggTrade", "BTC", "trade", 180.0)


@pytest.fixture
def client() -> BaseStreamClient:
    made = BaseStreamClient.__new__(BaseStreamClient)
    made._connects = None
    return made


async def is_let_through(client: BaseStreamClient, *specs: StreamSpec) -> bool:
    """Whether such a connection may open without waiting for anything."""
    asked = asyncio.create_task(client.may_connect(specs))
    await asyncio.sleep(0)
    is_done = asked.done()
    asked.cancel()
    return is_done


async def test_books_wait_and_the_rest_does_not(client: BaseStreamClient) -> None:
    wanted = asyncio.Event()

    async def until_wanted() -> None:
        await wanted.wait()

    client.postpone_books(until_wanted)
    assert await is_let_through(client, TRADE)
    assert await is_let_through(client, TRADE, BOOK)
    assert not await is_let_through(client, BOOK)
    books = asyncio.create_task(client.may_connect((BOOK, BOOK)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not books.done()
    wanted.set()
    await books
    assert await is_let_through(client, BOOK)


async def test_nothing_waits_where_nothing_was_said(client: BaseStreamClient) -> None:
    assert await is_let_through(client, BOOK)
