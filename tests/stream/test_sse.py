"""Server-sent events: the same frames, ids that resume every channel, refusals as problems."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from apps.core.errors import InvalidParameter
from apps.feed.writer import BlockingFeedWriter
from apps.stream.sse import base36, event_id, read_event_id
from apps.stream.wishes import wishes_of_query
from tests.stream.conftest import World
from tests.stream.test_protocol import liquidation
from tests.stream.web import TIMEOUT_S, Web

pytestmark = pytest.mark.django_db(databases=["default", "market"])
BTC, ETH = "liquidations.BTC", "liquidations.ETH"


class Stream:
    """One event stream: (id, frame) pairs."""

    def __init__(self, response: Any) -> None:
        self._lines = response.aiter_lines()

    async def hear(self) -> tuple[str, dict[str, Any]]:
        identity = ""
        async with asyncio.timeout(TIMEOUT_S):
            async for line in self._lines:
                if line.startswith("id: "):
                    identity = line[4:]
                elif line.startswith("data: "):
                    return identity, json.loads(line[6:])
        return "", {"op": "end"}

    async def until(self, **wanted: Any) -> tuple[str, dict[str, Any]]:
        while True:
            identity, frame = await self.hear()
            assert frame.get("op") != "end"
            if all(frame.get(name) == value for name, value in wanted.items()):
                return identity, frame


@asynccontextmanager
async def stream(web: Web, key: str, query: str, last: str = "") -> AsyncIterator[Stream]:
    headers = {"X-API-Key": key} | ({"Last-Event-ID": last} if last else {})
    async with web.http(headers=headers) as http, http.stream("GET", f"/v1/sse?{query}") as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["access-control-allow-origin"] == "*"
        yield Stream(answer)


def test_options_go_to_the_channels_that_have_them() -> None:
    names = ["orderbook.BTC", "liquidations.BTC"]
    books, liquidations = wishes_of_query(names, {"depth": "10", "venue": "okx", "side": "long"})
    assert books.options == {"depth": 10, "exchange": {"okx"}}
    assert liquidations.options == {"exchange": {"okx"}, "side": {"long"}}
    assert wishes_of_query(names[:1], {"depth": "full"})[0].options == {}
    with pytest.raises(InvalidParameter, match="expected one of 5, 10, 20, 50, full, received '7'"):
        wishes_of_query(names, {"depth": "7"})
    with pytest.raises(InvalidParameter, match="expected an option of orderbook"):
        wishes_of_query(names, {"deep": "10"})
    with pytest.raises(InvalidParameter, match="one of exchange and venue"):
        wishes_of_query(names, {"venue": "okx", "exchange": "okx"})


async def test_frames_are_those_of_sockets(
    web: Web, world: World, feed: BlockingFeedWriter
) -> None:
    async with stream(web, world.eve.plaintext, f"channels={BTC}") as events:
        _, ack = await events.hear()
        assert (ack["op"], ack["channel"]) == ("subscribed", BTC)
        assert (await events.hear())[1]["type"] == "snapshot"
        seq = feed.append(BTC, liquidation(1), 1_779_048_873_000)
        identity, frame = await events.hear()
        assert frame == {
            "channel": BTC,
            "ts": "2026-05-17T20:14:33Z",
            "seq": seq,
            "prev_seq": ack["seq"],
            "type": "update",
            "data": json.loads(liquidation(1)),
        }
        assert identity == f"{ack['epoch']}-{base36(seq)}"


async def test_the_last_id_resumes_every_channel(
    web: Web, world: World, feed: BlockingFeedWriter
) -> None:
    query = f"channels={BTC},{ETH}&min_amount_usd=5000"
    async with stream(web, world.eve.plaintext, query) as events:
        for name in (BTC, ETH):
            await events.until(type="snapshot")
            feed.append(name, liquidation(10), 1)
        await events.until(type="update")
        last, _ = await events.until(type="update")
    feed.append(BTC, liquidation(1), 1)
    missed = [feed.append(name, liquidation(n), 1) for n, name in ((11, BTC), (12, ETH), (13, BTC))]
    async with stream(web, world.eve.plaintext, query, last) as events:
        frames: list[dict[str, Any]] = []
        while len(frames) < 3:
            _, frame = await events.hear()
            assert frame.get("type") != "snapshot"
            frames += [frame] if frame.get("type") == "update" else []
        assert sorted(frame["seq"] for frame in frames) == sorted(missed)
        assert [frame["data"]["id"] for frame in frames if frame["channel"] == BTC] == ["11", "13"]


async def test_a_key_in_the_address_is_warned_of(web: Web, world: World) -> None:
    path = f"/v1/sse?channels={BTC}&api_key={world.eve.plaintext}"
    async with web.http() as http, http.stream("GET", path) as answer:
        heard = Stream(answer)
        _, warning = await heard.hear()
        assert (warning["op"], warning["code"]) == ("warning", "key_in_url")
        _, ack = await heard.until(op="subscribed")
        assert ack["channel"] == BTC
    assert world.eve.plaintext not in web.log


async def test_a_ticket_opens_a_stream(web: Web, world: World) -> None:
    async with web.http(headers=world.eve.headers) as http:
        ticket = (await http.post("/v1/ws/ticket")).json()["ticket"]
    url = f"/v1/sse?channels={BTC}&ticket={ticket}"
    async with web.http() as http, http.stream("GET", url) as answer:
        assert (await Stream(answer).hear())[1]["op"] == "subscribed"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "invalid_parameter"),
        ("channels=", 400, "invalid_parameter"),
        (f"channels={BTC},{BTC}", 400, "invalid_parameter"),
        (f"channels={BTC}&colour=1", 400, "invalid_parameter"),
        (f"channels={BTC}&exchange=kraken", 400, "invalid_parameter"),
        (f"channels={BTC}&last_event_id=x", 400, "invalid_parameter"),
        (f"channels={BTC},{ETH}&from_seq=1", 400, "invalid_parameter"),
        ("channels=liquidations.XYZ", 404, "unknown_channel"),
    ],
)
async def test_a_wrong_question_is_a_problem(
    web: Web, world: World, query: str, status: int, code: str
) -> None:
    async with web.http(headers=world.eve.headers) as http:
        answer = await http.get(f"/v1/sse?{query}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_refused_keys(web: Web, world: World) -> None:
    async with web.http() as http:
        for headers, status in (
            ({}, 401),
            ({"X-API-Key": world.revoked}, 401),
            ({"X-API-Key": world.narrow}, 403),
            (world.alice.headers, 403),
        ):
            answer = await http.get(f"/v1/sse?channels={BTC}", headers=headers)
            assert answer.status_code == status


async def test_browsers_may_ask_from_elsewhere(web: Web) -> None:
    async with web.http() as http:
        for path, method in (("/v1/sse", "GET"), ("/v1/ws/ticket", "POST")):
            answer = await http.options(
                path,
                headers={
                    "Origin": "https://example.com",
                    "Access-Control-Request-Method": method,
                    "Access-Control-Request-Headers": "x-api-key, last-event-id",
                },
            )
            assert answer.status_code == 204
            assert method in answer.headers["access-control-allow-methods"]
            assert "Last-Event-ID" in answer.headers["access-control-allow-headers"]


async def test_a_stopped_server_ends_streams(second_web: Web, world: World) -> None:
    async with stream(second_web, world.eve.plaintext, f"channels={BTC}") as events:
        await events.until(type="snapshot")
        second_web.terminate()
        _, frame = await events.until(op="going_away")
        assert frame["delay_ms"] >= 0
        while frame.get("op") != "end":
            frame = (await events.hear())[1]


def test_ids_are_read_as_they_were_written() -> None:
    positions = [("5f3e", 1_779_048_873_123), ("", 0), ("a", 7)]
    assert read_event_id(event_id(positions), 3) == [positions[0], None, positions[2]]
    for text in ("", "x", "a-1", "a-1.b-2.c-é", "a-1.b-.c-3", "a-1.b-2.c-" + "z" * 99):
        with pytest.raises(InvalidParameter):
            read_event_id(text, 3)
