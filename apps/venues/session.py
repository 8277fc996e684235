"""One WebSocket from connect to close: subscribe, check acks, watch for silence, hand frames on.

What differs between venues is a :class:`~apps.venues.dialect.Dialect`. A session ends with
:class:`SessionEnded`, which says why; keeping sessions alive is :mod:`apps.venues.streaming`'s work.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from apps.venues.channel import Channel
from apps.venues.dialect import Dialect
from apps.venues.lateness import Lateness
from apps.venues.stream_client import StreamSpec, StreamStatus
from apps.venues.timing import NS_PER_S, NowNs, Sleep, Timing

_FADING: Final = 0.999
"""Per round of the watch: a second by default, so that half of it is gone in twelve minutes."""
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class SessionEnded(Exception):
    """The connection is over; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a session needs from outside; no session reads a clock or sleeps by itself."""

    dialect: Dialect
    timing: Timing
    now_ns: NowNs
    sleep: Sleep
    on_frame: Callable[[Session, bytes], None]
    on_status: Callable[[StreamSpec, StreamStatus, str], None]


@dataclass(slots=True)
class _Request:
    waiting: tuple[str, ...]
    """Channels that are neither acknowledged nor refused."""
    deadline: float


@dataclass(slots=True, eq=False)
class Session:
    """One connection carrying ``specs``, all of the same connection group."""

    connection: str
    specs: tuple[StreamSpec, ...]
    wiring: Wiring
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once every channel that must speak has spoken."""
    replace_soon: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the venue announces that it will close this connection."""
    is_standby: bool = False
    """A replacement whose predecessor still streams: it keeps its troubles to itself."""
    opened_at: float | None = None
    channels: dict[str, Channel] = field(init=False)
    _requests: dict[str, _Request] = field(default_factory=dict)
    _outbox: asyncio.Queue[tuple[bool, tuple[str, ...]]] = field(default_factory=asyncio.Queue)
    _next_id: int = 1
    _awaited: int = 0
    _heard: bool = True
    _sent_at: deque[float] = field(default_factory=deque)
    _lateness: Lateness = field(init=False)

    def __post_init__(self) -> None:
        self._lateness = Lateness(self.wiring.now_ns)
        self.channels = {spec.channel: Channel(spec) for spec in self.specs}
        self._awaited = len(self._speaking())

    async def run(self) -> None:
        """Stream until the connection ends; always raises :class:`SessionEnded` (or is cancelled)."""
        timing = self.wiring.timing
        url = self.wiring.dialect.url(self.connection)
        self._set_all(StreamStatus.CONNECTING, f"connecting to {urlsplit(url).path}")
        try:
            async with connect(
                url,
                open_timeout=timing.open_timeout,
                close_timeout=2.0,
                ping_interval=timing.ping_interval if self.wiring.dialect.answers_pings else None,
                ping_timeout=timing.ping_timeout,
                # Inflating costs more time than the network that it saves.
                compression=None,
                max_size=16 * 2**20,
                proxy=None if urlsplit(url).hostname in _LOOPBACK else True,
            ) as socket:
                self.opened_at = _loop_time()
                await self._converse(socket)
        except ConnectionClosed as error:
            raise SessionEnded(f"closed by the venue: {error}") from error
        except TimeoutError as error:
            raise SessionEnded("could not connect in time") from error
        except (OSError, InvalidHandshake, InvalidURI) as error:
            raise SessionEnded(f"could not connect: {error}") from error

    def take_over(self) -> None:
        """The predecessor is gone: from now on this session's channels count."""
        self.is_standby = False
        for channel in self.channels.values():
            self.wiring.on_status(channel.spec, channel.status, "connection replaced")

    def on_ack(
        self,
        request_id: str | None,
        accepted: Collection[str] | None = None,
        only: str = "",
    ) -> None:
        """``accepted``: the channels that the venue says it took, where it says so. ``only``: the one
        channel that is acknowledged, where each has an answer of its own."""
        names = self._answered(request_id, only)
        if not names:
            return
        now_ns = self.wiring.now_ns()
        for name in names:
            channel = self.channels[name]
            if accepted is not None and name not in accepted:
                self._refused(channel, "not among the accepted channels")
                continue
            if channel.subscribed_ns is None:
                channel.subscribed_ns = now_ns
            if channel.spec.max_silence_s == float("inf"):
                # Its silence means nothing, so the ack has to do.
                self._set(channel, StreamStatus.LIVE, "")
        if not self._awaited and not self._requests and self._outbox.empty():
            self.ready.set()

    def on_refusal(self, request_id: str | None, detail: str, only: str = "") -> None:
        """A subscribe message was refused: its channels are tried one by one, so that one bad name
        does not keep the others out; a channel refused by itself stays stale until its next turn."""
        names = self._answered(request_id, only)
        if len(names) > 1:
            for name in names:
                self._outbox.put_nowait((True, (name,)))
        elif names:
            self._refused(self.channels[names[0]], detail)

    def _answered(self, request_id: str | None, only: str) -> tuple[str, ...]:
        """The channels that an answer settles; none when nobody waits for it."""
        if not only:
            request = self._requests.pop(request_id or "", None)
            waiting = request.waiting if request is not None else ()
            return tuple(name for name in waiting if name in self.channels)
        for number, request in self._requests.items():
            if only in request.waiting:
                request.waiting = tuple(name for name in request.waiting if name != only)
                if not request.waiting:
                    del self._requests[number]
                return (only,) if only in self.channels else ()
        return ()

    def forget(self, names: Collection[str]) -> None:
        """These channels are followed no longer; the others do not notice."""
        for name in names:
            channel = self.channels.pop(name, None)
            if channel is None:
                continue
            self._set(channel, StreamStatus.STOPPED, "listed no longer")
            self._outbox.put_nowait((False, (name,)))
            if channel.last_frame_ns is None and channel.spec.max_silence_s != float("inf"):
                self._first_frame(channel)
        self.specs = tuple(spec for spec in self.specs if spec.channel not in names)

    def resubscribe(self, name: str) -> None:
        """Ask for a channel anew, which makes the venue send its book from the beginning."""
        channel = self.channels.get(name)
        if channel is not None:
            channel.resubscribed_at = _loop_time()
            self._outbox.put_nowait((False, (name,)))
            self._outbox.put_nowait((True, (name,)))

    def _refused(self, channel: Channel, detail: str) -> None:
        channel.subscribed_ns = self.wiring.now_ns()
        channel.resubscribed_at = _loop_time()
        self._set(channel, StreamStatus.STALE, f"refused: {detail}")

    # --- the concurrent parts -----------------------------------------------------------------------

    async def _converse(self, socket: ClientConnection) -> None:
        size = self.wiring.dialect.batch_size(self.connection)
        for names in _batched(list(self.channels), size):
            self._outbox.put_nowait((True, names))
        parts = [
            asyncio.ensure_future(part)
            for part in (
                self._read(socket),
                self._write(socket),
                self._watch(),
                self._keep_alive(socket),
            )
        ]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            await socket.close()

    async def _read(self, socket: ClientConnection) -> None:
        channel_of, reply = self.wiring.dialect.channel_of, self.wiring.dialect.reply
        channels, on_frame, now_ns = self.channels, self.wiring.on_frame, self.wiring.now_ns
        while True:
            frame = await socket.recv(decode=False)
            self._heard = True
            name = channel_of(frame)
            channel = channels.get(name) if name is not None else None
            if channel is not None:
                if channel.last_frame_ns is None:
                    self._first_frame(channel)
                channel.heard(now_ns())
                if channel.status is not StreamStatus.LIVE:
                    self._set(channel, StreamStatus.LIVE, "")
            elif name is None and (answer := reply(frame)) is not None:
                await socket.send(answer, text=True)
            on_frame(self, frame)

    async def _write(self, socket: ClientConnection) -> None:
        dialect = self.wiring.dialect
        for greeting in dialect.greetings(self.connection):
            await socket.send(greeting, text=True)
        while True:
            is_subscribe, names = await self._outbox.get()
            await self._keep_within_hour()
            request_id = self._next_id
            self._next_id += 1
            compose = dialect.subscribe if is_subscribe else dialect.unsubscribe
            if is_subscribe:
                deadline = _loop_time() + self.wiring.timing.ack_timeout
                self._requests[str(request_id)] = _Request(names, deadline)
            await socket.send(compose(request_id, names), text=True)
            await self.wiring.sleep(dialect.message_gap_s(self.connection))

    async def _keep_alive(self, socket: ClientConnection) -> None:
        wanted = self.wiring.dialect.keep_alive(self.connection)
        if wanted is None:
            # The parts run until the first of them ends.
            await asyncio.get_running_loop().create_future()
            return
        period_s, message = wanted
        while True:
            await self.wiring.sleep(period_s)
            if not self._heard and not self.wiring.dialect.answers_pings:
                raise SessionEnded("no answer to our ping")
            self._heard = False
            await socket.send(message, text=True)

    async def _keep_within_hour(self) -> None:
        allowed = self.wiring.dialect.requests_per_hour
        if allowed is None:
            return
        sent = self._sent_at
        while len(sent) >= allowed:
            wait_s = sent[0] + 3_600.0 - _loop_time()
            if wait_s > 0:
                await self.wiring.sleep(wait_s)
            else:
                sent.popleft()
        sent.append(_loop_time())

    async def _watch(self) -> None:
        while True:
            await self._lateness.sleep(self.wiring.timing.watch_period, self.wiring.sleep)
            now = _loop_time()
            for request in self._requests.values():
                request.deadline += self._lateness.late_s
                if now > request.deadline:
                    raise SessionEnded(f"no ack for {len(request.waiting)} channels")
            self._check_silence(now, self.wiring.now_ns())

    def _check_silence(self, now: float, now_ns: int) -> None:
        speaking = self._speaking()
        silent = [channel for channel in speaking if self._is_silent(channel, now_ns)]
        if speaking and not any(channel.last_frame_ns for channel in speaking):
            self._check_first_frame(speaking, now_ns)
        if speaking and len(silent) == len(speaking):
            raise SessionEnded(f"all {len(silent)} channels silent")
        waiting = self.wiring.timing.resubscribe_at_once
        for channel in speaking:
            channel.usual_ns *= _FADING
        for channel in silent:
            what = "no data after the ack" if channel.last_frame_ns is None else "silent"
            reason = f"{what} for {self._silence_s(channel, now_ns):.0f} s"
            self._set(channel, StreamStatus.STALE, reason)
            again_s = self.wiring.timing.resubscribe_after * 2 ** min(channel.resubscriptions, 5)
            if waiting and now - channel.resubscribed_at >= again_s:
                waiting -= 1
                channel.resubscribed_at = now
                channel.resubscriptions += 1
                self._outbox.put_nowait((False, (channel.spec.channel,)))
                self._outbox.put_nowait((True, (channel.spec.channel,)))

    def _check_first_frame(self, speaking: list[Channel], now_ns: int) -> None:
        # A wrong path acknowledges everything and never sends: VENUES, trap 1.
        patience = max(
            self.wiring.timing.first_frame, min(channel.spec.max_silence_s for channel in speaking)
        )
        if min(self._silence_s(channel, now_ns) for channel in speaking) > patience:
            raise SessionEnded("acknowledged but no data")

    def _is_silent(self, channel: Channel, now_ns: int) -> bool:
        since, allowed_s = channel.silent_since, channel.allowed_s(self.wiring.timing)
        # What was late is looked up only for channels that look silent: there are hundreds of others.
        if since is None or now_ns - since <= allowed_s * NS_PER_S:
            return False
        return self._silence_s(channel, now_ns) > allowed_s

    def _silence_s(self, channel: Channel, now_ns: int) -> float:
        """Its silence, without the time in which we could not have heard it."""
        since = channel.silent_since
        if since is None:
            return 0.0
        return (now_ns - since - self._lateness.since(since)) / NS_PER_S

    # --- channel states -----------------------------------------------------------------------------

    def _speaking(self) -> list[Channel]:
        return [
            channel
            for channel in self.channels.values()
            if channel.spec.max_silence_s != float("inf")
        ]

    def _first_frame(self, channel: Channel) -> None:
        if channel.spec.max_silence_s != float("inf"):
            self._awaited -= 1
            if self._awaited == 0:
                self.ready.set()

    def _set(self, channel: Channel, status: StreamStatus, reason: str) -> None:
        if channel.status is not status:
            channel.status = status
            self._tell(channel, reason)

    def _set_all(self, status: StreamStatus, reason: str) -> None:
        for channel in self.channels.values():
            channel.status = status
            self._tell(channel, reason)

    def _tell(self, channel: Channel, reason: str) -> None:
        if not self.is_standby:
            self.wiring.on_status(channel.spec, channel.status, reason)


def _batched(names: list[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(names[start : start + size]) for start in range(0, len(names), size)]


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
