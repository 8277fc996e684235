"""Lanes: one connection's worth of channels each, reconnecting by itself.

Which channels share a lane is :func:`split_into_lanes`' business; who owns lanes is a
:class:`~apps.venues.streaming.BaseStreamClient`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Iterable
from typing import Any, Final, Protocol

from apps.venues.backoff import Backoff
from apps.venues.session import Session, SessionEnded
from apps.venues.stream_client import ALL_ASSETS, StreamSpec
from apps.venues.timing import Sleep, Timing

_OWN_LANE: Final = frozenset({"book", "quote"})
"""Heavy kinds get connections of their own, so that a flood of books does not delay trades."""


class LaneOwner(Protocol):
    """What a lane asks of its client."""

    def open_session(self, connection: str, specs: tuple[StreamSpec, ...]) -> Session: ...

    def lost(self, specs: tuple[StreamSpec, ...], reason: str) -> None: ...

    async def may_connect(self, specs: tuple[StreamSpec, ...]) -> None:
        """Wait until these channels are wanted and the address may open another connection."""
        ...


class Lane:
    """One connection's worth of channels; replaces the connection when it dies or grows old."""

    def __init__(
        self,
        owner: LaneOwner,
        connection: str,
        specs: tuple[StreamSpec, ...],
        *,
        timing: Timing,
        sleep: Sleep,
        rng: random.Random,
    ) -> None:
        self.connection = connection
        self.specs = specs
        self.reconnects = 0
        self.replacements = 0
        self._owner = owner
        self._timing = timing
        self._sleep = sleep
        self._rng = rng
        self._backoff = Backoff(rng)
        self._sessions: set[Session] = set()

    def forget(self, names: Collection[str]) -> None:
        """Stop following these channels, now and after the next reconnect."""
        self.specs = tuple(spec for spec in self.specs if spec.channel not in names)
        for session in self._sessions:
            session.forget(names)

    async def run(self) -> None:
        """Stream for ever; ends only by cancellation."""
        while True:
            reason = await self._stream()
            self.reconnects += 1
            delay_s = self._backoff.next_s()
            self._owner.lost(self.specs, f"{reason}; again in {delay_s:.1f} s")
            await self._sleep(delay_s)

    async def _stream(self) -> str:
        """Run sessions one after the other, overlapped, until one is lost; the reason."""
        await self._owner.may_connect(self.specs)
        session = self._owner.open_session(self.connection, self.specs)
        running = self._start(session)
        lifetime_s = self._lifetime_s()
        try:
            while not await self._ends_within(lifetime_s, session, running):
                old = session
                session, running = await self._replace(old, running)
                # A replacement that failed is tried again soon, while the old one lasts.
                lifetime_s = self._backoff.next_s() if session is old else self._lifetime_s()
            return self._lost(session, running)
        finally:
            await cancel(running)

    def _start(self, session: Session) -> asyncio.Future[str]:
        self._sessions.add(session)
        running: asyncio.Future[str] = asyncio.ensure_future(_until_end(session))
        running.add_done_callback(lambda _done: self._sessions.discard(session))
        return running

    def _lifetime_s(self) -> float:
        return self._timing.lifetime - self._rng.uniform(0, self._timing.lifetime_spread)

    def _lost(self, session: Session, running: asyncio.Future[str]) -> str:
        now = asyncio.get_running_loop().time()
        if session.opened_at is not None:
            lived_s = now - session.opened_at
            if lived_s >= self._timing.healthy_after and session.ready.is_set():
                self._backoff.reset()
        return running.result()

    async def _ends_within(
        self, lifetime_s: float, session: Session, running: asyncio.Future[str]
    ) -> bool:
        """Whether the connection was lost before it had to be replaced."""
        old_age = asyncio.ensure_future(self._sleep(lifetime_s))
        notice = asyncio.ensure_future(session.replace_soon.wait())
        try:
            await _first_of(running, old_age, notice)
        finally:
            await cancel(old_age, notice)
        return running.done()

    async def _replace(
        self, old: Session, running: asyncio.Future[str]
    ) -> tuple[Session, asyncio.Future[str]]:
        """Open a second connection and close the first once the second delivers."""
        await self._owner.may_connect(self.specs)
        new = self._owner.open_session(self.connection, self.specs)
        new.is_standby = True
        starting = self._start(new)
        ready = asyncio.ensure_future(new.ready.wait())
        patience = asyncio.ensure_future(self._sleep(self._timing.overlap))
        try:
            await _first_of(starting, ready, patience)
            if starting.done() and not running.done():
                old.replace_soon.clear()
                return old, running
            self.replacements += 1
            await cancel(running)
            new.take_over()
            return new, starting
        except asyncio.CancelledError:
            await cancel(starting)
            raise
        finally:
            await cancel(ready, patience)


def split_into_lanes(
    plan: Iterable[StreamSpec],
    max_channels: int,
    max_book_channels: int | None = None,
    *,
    packed: bool = False,
) -> list[tuple[str, tuple[StreamSpec, ...]]]:
    """Group channels by connection and weight, at most ``max_channels`` a lane.

    ``packed``: by connection alone, where connections are scarcer than what the venue advises for each.
    """
    if packed:
        max_book_channels = None
    most = dict.fromkeys(_OWN_LANE, max_book_channels or max_channels)
    groups: dict[tuple[str, str], list[StreamSpec]] = {}
    for spec in plan:
        is_heavy = spec.kind in _OWN_LANE and spec.symbol != ALL_ASSETS
        weight = spec.kind if is_heavy and not packed else "flow"
        groups.setdefault((spec.connection, weight), []).append(spec)
    return [
        (connection, tuple(specs[start : start + most.get(weight, max_channels)]))
        for (connection, weight), specs in groups.items()
        for start in range(0, len(specs), most.get(weight, max_channels))
    ]


async def _until_end(session: Session) -> str:
    try:
        await session.run()
    except SessionEnded as ended:
        return str(ended)
    return "ended"


async def _first_of(*futures: asyncio.Future[Any]) -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


async def cancel(*futures: asyncio.Future[Any]) -> None:
    for future in futures:
        future.cancel()
    await asyncio.gather(*futures, return_exceptions=True)
