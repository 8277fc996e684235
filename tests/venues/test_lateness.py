"""A loop that could not run is not a venue that says nothing."""

from __future__ import annotations

import asyncio

import pytest

from apps.venues.lateness import Lateness
from apps.venues.session import Session, SessionEnded, Wiring, _Request
from apps.venues.stream_client import StreamStatus
from apps.venues.timing import NS_PER_S, Timing
from tests.venues.test_session import Dummy, spec


class Loop:
    """Time that passes as the test says: by the loop, and by a market clock of ``speed``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, speed: float = 1.0) -> None:
        self.s = 100.0
        self.speed = speed
        self.late: list[float] = []
        monkeypatch.setattr("asyncio.get_running_loop", lambda: self)
        monkeypatch.setattr("apps.venues.session._loop_time", self.time)

    def time(self) -> float:
        return self.s

    def now_ns(self) -> int:
        return int(self.s * self.speed * NS_PER_S)

    async def sleep(self, seconds: float) -> None:
        if not self.late:
            raise asyncio.CancelledError
        self.s += seconds + self.late.pop(0)


async def test_spells_are_counted_since_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop(monkeypatch, speed=2.0)
    late = Lateness(loop.now_ns)
    loop.late = [0.0, 0.2, 9.0]
    for expected in (0.0, 0.0, 9.0):
        await late.sleep(1.0, loop.sleep)
        assert late.late_s == pytest.approx(expected)
    # Twice as much by a clock of double speed; of a moment in the middle only what came after it.
    assert late.since(0) == pytest.approx(18 * NS_PER_S)
    assert late.since(loop.now_ns() - 5 * NS_PER_S) == pytest.approx(5 * NS_PER_S)
    assert late.since(loop.now_ns()) == 0


async def test_the_sleep_under_way_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop(monkeypatch)
    late = Lateness(loop.now_ns)
    seen: list[int] = []

    async def sleep(seconds: float) -> None:
        loop.s += seconds + 4.0
        seen.append(late.since(0))

    await late.sleep(1.0, sleep)
    assert seen == [pytest.approx(4 * NS_PER_S)]
    assert late.since(0) == pytest.approx(4 * NS_PER_S)


def watched(loop: Loop, told: list[tuple[str, StreamStatus]]) -> Session:
    wiring = Wiring(
        Dummy(), Timing(), loop.now_ns, loop.sleep, lambda session, frame: None,
        lambda one, status, reason: told.append((one.channel, status)),
    )  # fmt: skip
    session = Session("public", (spec(1, 15.0), spec(2, 15.0)), wiring)
    for channel in session.channels.values():
        channel.status = StreamStatus.LIVE
        channel.heard(loop.now_ns())
    return session


@pytest.mark.parametrize("late", [[40.0], [12.0, 12.0, 12.0]])
async def test_a_late_loop_ends_no_session(
    monkeypatch: pytest.MonkeyPatch, late: list[float]
) -> None:
    loop, told = Loop(monkeypatch), list[tuple[str, StreamStatus]]()
    session = watched(loop, told)
    session._requests["1"] = _Request(("trade1",), loop.s + 10.0)
    loop.late = list(late)
    with pytest.raises(asyncio.CancelledError):
        await session._watch()
    assert told == []
    # On time again, the venue's own silence counts, and so does what it has not answered.
    loop.late = [0.0] * 10
    with pytest.raises(SessionEnded, match="no ack for 1 channels"):
        await session._watch()
    session._requests.clear()
    loop.late = [0.0] * 20
    with pytest.raises(SessionEnded, match="all 2 channels silent"):
        await session._watch()


async def test_one_silent_channel_is_told_as_late_as_the_loop_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, told = Loop(monkeypatch), list[tuple[str, StreamStatus]]()
    session = watched(loop, told)
    loop.late = [20.0]
    with pytest.raises(asyncio.CancelledError):
        await session._watch()
    session.channels["trade2"].heard(loop.now_ns())
    loop.late = [0.0] * 14
    with pytest.raises(asyncio.CancelledError):
        await session._watch()
    assert told == []
    session.channels["trade2"].heard(loop.now_ns())
    loop.late = [0.0]
    with pytest.raises(asyncio.CancelledError):
        await session._watch()
    assert told == [("trade1", StreamStatus.STALE)]
