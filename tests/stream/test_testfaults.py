"""Test faults on real sockets: one caller's socket has them, the next to it does not."""

from __future__ import annotations

import json
import time
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

from apps.core.testfaults.header import HEADER, WORDS
from apps.feed.writer import BlockingFeedWriter
from tests.stream.conftest import CHANNEL, World
from tests.stream.test_protocol import liquidation
from tests.stream.web import Socket, Web

pytestmark = pytest.mark.django_db(databases=["default", "market"])


class _Faulty(AbstractAsyncContextManager[Socket]):
    """A socket that asks for faults."""

    def __init__(self, web: Web, key: str, faults: str) -> None:
        headers = {"X-API-Key": key, HEADER: faults}
        self._connecting = connect(
            f"ws://{web.address}/v1/ws", additional_headers=headers, proxy=None
        )

    async def __aenter__(self) -> Socket:
        return Socket(await self._connecting.__aenter__())

    async def __aexit__(self, *details: Any) -> None:
        await self._connecting.__aexit__(*details)


async def test_a_venue_is_down_for_one_socket_alone(
    web: Web, world: World, feed: BlockingFeedWriter
) -> None:
    key = world.eve.plaintext
    async with (
        _Faulty(web, key, "venue_down:binance") as faulty,
        web.socket(key) as well,
    ):
        await faulty.subscribe(CHANNEL)
        await well.subscribe(CHANNEL)
        feed.append(CHANNEL, liquidation(1), 1)
        feed.append(CHANNEL, liquidation(2, exchange="okx"), 2)
        assert (await faulty.until(type="update"))["data"] == json.loads(
            liquidation(2, exchange="okx")
        )
        heard = [(await well.until(type="update"))["data"]["exchange"] for _ in range(2)]
        assert heard == ["binance", "okx"]
        # What is gone is gone from snapshots too, and only there.
        _, theirs = await faulty.subscribe(CHANNEL)
        _, ours = await well.subscribe(CHANNEL)
        assert _exchanges(theirs) == {"okx"}
        assert _exchanges(ours) >= {"binance", "okx"}


def _exchanges(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*(_exchanges(one) for one in value))
    if not isinstance(value, dict):
        return set()
    own = {value["exchange"]} if isinstance(value.get("exchange"), str) else set()
    return own.union(*(_exchanges(one) for one in value.values()))


async def test_every_tenth_frame_is_missing_and_seq_shows_it(
    web: Web, world: World, feed: BlockingFeedWriter
) -> None:
    key = world.eve.plaintext
    async with _Faulty(web, key, "gap") as faulty, web.socket(key) as well:
        ack, _ = await faulty.subscribe(CHANNEL, policy="all")
        await well.subscribe(CHANNEL, policy="all")
        for number in range(12):
            feed.append(CHANNEL, liquidation(number), number)
        first = ack["seq"] + 1
        seqs = [(await faulty.until(type="update"))["seq"] - first for _ in range(11)]
        assert seqs == [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11]
        seqs = [(await well.until(type="update"))["seq"] - first for _ in range(12)]
        assert seqs == list(range(12))


async def test_frames_end_in_the_middle(web: Web, world: World, feed: BlockingFeedWriter) -> None:
    key = world.eve.plaintext
    async with _Faulty(web, key, "truncated") as faulty, web.socket(key) as well:
        await faulty.say(op="subscribe", channel=CHANNEL)
        assert (await faulty.hear())["op"] == "subscribed"
        text = str(await faulty.raw.recv())
        assert text.startswith(f'{{"channel":"{CHANNEL}"')
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
        await faulty.say(op="ping")
        assert (await faulty.hear())["op"] == "pong"
        assert (await well.subscribe(CHANNEL))[1]["channel"] == CHANNEL


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ("rate_limited", "rate_limited", 4429),
        ("quota_exceeded", "quota_exceeded", 4429),
        ("server_error", "internal", 1011),
        ("overloaded", "overloaded", 1013),
        ("nonsense", "invalid_parameter", 4401),
        ("slow:11s", "invalid_parameter", 4401),
    ],
)
async def test_a_refusal_says_why_and_closes(
    web: Web, world: World, fault: str, error: str, code: int
) -> None:
    async with web.socket(world.eve.plaintext) as well:
        async with _Faulty(web, world.eve.plaintext, fault) as faulty:
            frame = await faulty.hear()
            assert (frame["op"], frame["code"]) == ("error", error)
            assert await faulty.closed() == (code, error)
        await well.say(op="ping")
        assert (await well.hear())["op"] == "pong"


async def test_frames_wait_in_order(web: Web, world: World, feed: BlockingFeedWriter) -> None:
    key = world.eve.plaintext
    async with _Faulty(web, key, "slow:0.6s") as faulty, web.socket(key) as well:
        await faulty.subscribe(CHANNEL, policy="all")
        await well.subscribe(CHANNEL, policy="all")
        began = time.monotonic()
        for number in range(5):
            feed.append(CHANNEL, liquidation(number), number)
        for number in range(5):
            assert (await well.until(type="update"))["data"]["id"] == str(number)
        assert time.monotonic() - began < 0.5
        for number in range(5):
            assert (await faulty.until(type="update"))["data"]["id"] == str(number)
        assert 0.6 <= time.monotonic() - began < 2.0


async def test_a_cut_comes_without_a_goodbye(
    web: Web, world: World, feed: BlockingFeedWriter
) -> None:
    key = world.eve.plaintext
    async with web.socket(key) as well:
        began = time.monotonic()
        async with _Faulty(web, key, "disconnect:0.5s") as faulty:
            await faulty.subscribe(CHANNEL)
            with pytest.raises(ConnectionClosed) as cut:
                await faulty.hear()
        assert isinstance(cut.value, ConnectionClosedError)
        assert cut.value.rcvd is None
        assert 0.5 <= time.monotonic() - began < 2.0
        await well.subscribe(CHANNEL)
        feed.append(CHANNEL, liquidation(1), 1)
        assert (await well.until(type="update"))["data"]["id"] == "1"


async def test_who_is_not_known_gets_no_fault(web: Web, world: World) -> None:
    async with _Faulty(web, "fk_test_x", "overloaded") as faulty:
        assert (await faulty.hear())["code"] == "invalid_api_key"


async def test_event_streams_have_them_too(
    web: Web, world: World, feed: BlockingFeedWriter
) -> None:
    query = f"/v1/sse?channels={CHANNEL}"
    key = {"X-API-Key": world.eve.plaintext}
    async with web.http(headers={**key, HEADER: "quota_exceeded"}) as http:
        refused = await http.get(query)
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
    headers = {**key, HEADER: "venue_down:binance"}
    async with web.http(headers=headers) as http, http.stream("GET", query) as answer:
        lines = answer.aiter_lines()
        frames: list[dict[str, Any]] = []
        async for line in lines:
            if not line.startswith("data: "):
                continue
            frames.append(json.loads(line[6:]))
            if frames[-1].get("type") == "snapshot":
                feed.append(CHANNEL, liquidation(1), 1)
                feed.append(CHANNEL, liquidation(2, exchange="bybit"), 2)
            if frames[-1].get("type") == "update":
                break
    assert frames[-1]["data"]["exchange"] == "bybit"


# --- every word, on both kinds of stream -----------------------------------------------------------------


async def over_socket(web: Web, key: str, faults: str, feed: BlockingFeedWriter) -> dict[str, Any]:
    """The update that one socket gets."""
    async with _Faulty(web, key, faults) as socket:
        await socket.subscribe(CHANNEL)
        feed.append(CHANNEL, TOLD, 1)
        return await socket.until(type="update")


async def over_events(web: Web, key: str, faults: str, feed: BlockingFeedWriter) -> dict[str, Any]:
    """The update that one event stream gets."""
    headers = {"X-API-Key": key, HEADER: faults}
    async with (
        web.http(headers=headers) as http,
        http.stream("GET", f"/v1/sse?channels={CHANNEL}") as answer,
    ):
        async for line in answer.aiter_lines():
            if not line.startswith("data: "):
                continue
            frame: dict[str, Any] = json.loads(line[6:])
            if frame.get("type") == "snapshot":
                feed.append(CHANNEL, TOLD, 1)
            if frame.get("type") == "update":
                return frame
    raise AssertionError("the stream ended")


TOLD = liquidation(
    1,
    funding={"value": 0.5, "unit": "percent_per_8h"},
    meta={"staleness_seconds": 2, "freshness": "fresh", "cadence_seconds": 60},
)
PLAIN = json.loads(TOLD)
OLD = {**PLAIN, "meta": {**PLAIN["meta"], "staleness_seconds": 182, "freshness": "stale"}}
VERY_OLD = {**PLAIN, "meta": {**PLAIN["meta"], "staleness_seconds": 602, "freshness": "very_stale"}}
EMPTY = {**PLAIN, "funding": {"value": None, "unit": "percent_per_8h", "null_reason": "no_data"}}
SEEN: dict[str, Any] = {
    "venue_down:okx": PLAIN,
    "snapshot_stale": OLD,
    "snapshot_very_stale": VERY_OLD,
    "snapshot_missing": PLAIN,
    "no_data": EMPTY,
    "slow:0.2s": PLAIN,
    "gap": PLAIN,
    "snapshot_stale, no_data, slow:0.1s": {**OLD, "funding": EMPTY["funding"]},
}
REFUSED = {
    "rate_limited": (429, "rate_limited"),
    "quota_exceeded": (429, "quota_exceeded"),
    "server_error": (500, "internal"),
    "overloaded": (503, "overloaded"),
    "nonsense": (400, "invalid_parameter"),
}


@pytest.mark.parametrize("listen", [over_socket, over_events])
@pytest.mark.parametrize("faults", SEEN)
async def test_updates_are_as_documented(
    web: Web, world: World, feed: BlockingFeedWriter, faults: str, listen: Any
) -> None:
    frame = await listen(web, world.eve.plaintext, faults, feed)
    assert frame["data"] == SEEN[faults]
    assert (await listen(web, world.bob.plaintext, "gap", feed))["data"] == PLAIN


@pytest.mark.parametrize("fault", REFUSED)
async def test_event_streams_are_refused_in_words(web: Web, world: World, fault: str) -> None:
    headers = {"X-API-Key": world.eve.plaintext, HEADER: fault}
    async with web.http(headers=headers) as http:
        answer = await http.get(f"/v1/sse?channels={CHANNEL}")
    assert (answer.status_code, answer.json()["code"]) == REFUSED[fault]
    assert ("retry-after" in answer.headers) == (answer.status_code in (429, 503))


async def test_event_streams_end_in_the_middle_and_are_cut(web: Web, world: World) -> None:
    key = world.eve.plaintext
    query = f"/v1/sse?channels={CHANNEL}"
    async with (
        web.http(headers={"X-API-Key": key, HEADER: "truncated"}) as http,
        http.stream("GET", query) as answer,
    ):
        async for line in answer.aiter_lines():
            if line.startswith("data: ") and CHANNEL in line and '"op"' not in line:
                break
        with pytest.raises(json.JSONDecodeError):
            json.loads(line[6:])
    async with (
        web.http(headers={"X-API-Key": key, HEADER: "disconnect:0.3s"}) as http,
        http.stream("GET", query) as answer,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            await answer.aread()


def test_every_word_is_tried() -> None:
    tried = {one.partition(":")[0] for one in (*SEEN, *REFUSED)} | {"truncated", "disconnect"}
    assert {one.name for one in WORDS} <= tried
