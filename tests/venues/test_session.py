"""Subscribing anew without storms, forgetting, and channels on connections."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from apps.venues.dialect import Dialect
from apps.venues.lanes import split_into_lanes
from apps.venues.limiter import RequestPool
from apps.venues.session import Session, Wiring, _Request
from apps.venues.stream_client import StreamSpec, StreamStatus
from apps.venues.streaming import BaseStreamClient
from apps.venues.timing import NS_PER_S, Timing

TIMING = Timing()


def spec(number: int, max_silence_s: float = 120.0) -> StreamSpec:
    return StreamSpec("public", f"trade{number}", "BTC", "trade", max_silence_s, f"S{number}")


class Dummy(Dialect):
    max_channels = 200

    def url(self, connection: str) -> str:
        return "ws://127.0.0.1:1/"

    def batch_size(self, connection: str) -> int:
        return 50

    def message_gap_s(self, connection: str) -> float:
        return 0.0

    def subscribe(self, request_id: int, channels: Iterable[str]) -> bytes:
        return b""

    def unsubscribe(self, request_id: int, channels: Iterable[str]) -> bytes:
        return b""

    def channel_of(self, frame: bytes) -> str | None:
        return None


async def test_many_silent_channels_are_subscribed_anew_a_few_at_a_time() -> None:
    wiring = Wiring(Dummy(), TIMING, lambda: 0, asyncio.sleep, lambda *_: None, lambda *_: None)
    session = Session("public", tuple(spec(number) for number in range(65)), wiring)
    for channel in session.channels.values():
        channel.status = StreamStatus.LIVE
        channel.heard(NS_PER_S)
    lively = session.channels["trade0"]
    asked: list[tuple[int, int]] = []
    for second in range(3600):
        lively.heard((200 + second) * NS_PER_S)
        session._check_silence(1000.0 + second, (200 + second) * NS_PER_S)
        sent = 0
        while not session._outbox.empty():
            is_subscribe, _ = session._outbox.get_nowait()
            sent += is_subscribe
        if sent:
            asked.append((second, sent))
    assert max(sent for _, sent in asked) == TIMING.resubscribe_at_once
    # After 0, 30, 90, 210, 450, 930 and 1890 s: seven times each in an hour, not a hundred and twenty.
    assert sum(sent for _, sent in asked) == 64 * 7
    silent = session.channels["trade1"]
    silent.heard(4000 * NS_PER_S)
    assert silent.resubscriptions == 0


async def test_connections_are_opened_in_the_venue_s_pace() -> None:
    now = [0.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    pool = RequestPool(3, 1.0, monotonic=lambda: now[0], sleep=sleep)
    client = BaseStreamClient.__new__(BaseStreamClient)
    client.pace_connects(pool)
    at = []
    for _ in range(7):
        await client.may_connect()
        at.append(now[0])
    assert at == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0]


def test_a_forgotten_channel_leaves_the_others_alone() -> None:
    told: list[tuple[str, StreamStatus]] = []

    async def run() -> None:
        wiring = Wiring(
            Dummy(), TIMING, lambda: 0, asyncio.sleep, lambda session, frame: None,
            lambda spec, status, reason: told.append((spec.channel, status)),
        )  # fmt: skip
        session = Session("public", (spec(1), spec(2)), wiring)
        session._requests["1"] = _Request(("trade1", "trade2"), 10.0)
        session.forget({"trade1", "nothing"})
        assert [one.channel for one in session.specs] == ["trade2"]
        assert told == [("trade1", StreamStatus.STOPPED)]
        assert session._outbox.get_nowait() == (False, ("trade1",))
        # An answer to what was asked before names it still.
        session.on_ack("1")
        assert session.channels["trade2"].subscribed_ns == 0
        assert not session.ready.is_set()
        session._first_frame(session.channels["trade2"])
        assert session.ready.is_set()

    asyncio.run(run())


def test_scarce_connections_carry_more_each() -> None:
    kinds = ("trade", "book", "quote")
    plan = [
        StreamSpec("ws", f"{kind}{number}", "BTC", kind, 60.0, f"S{number}")
        for kind in kinds
        for number in range(3)
    ]
    names = {one.channel for one in plan}
    apart = split_into_lanes(plan, 200)
    assert [len(specs) for _, specs in apart] == [3, 3, 3]
    together = split_into_lanes(plan, 200, 2, packed=True)
    assert [len(specs) for _, specs in together] == [9]
    # What one connection may carry is never exceeded.
    full = split_into_lanes(plan, 4, packed=True)
    assert [len(specs) for _, specs in full] == [4, 4, 1]
    assert {one.channel for _, specs in full for one in specs} == names
