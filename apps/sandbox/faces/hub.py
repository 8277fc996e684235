"""Connections, what each is subscribed to, and the writing of frames in batches.

Frames are put on a connection's list and written once per tick with a single call: a socket write
costs more than making the message.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from apps.sandbox.faults import MALFORMED_FRAME, Action, Faults, words_of
from apps.sandbox.replay.restamp import restamp

# A reader this far behind is cut, as the venue does.
_MAX_BUFFERED_BYTES: Final = 32 * 1024 * 1024
_PACE_BUFFERED_BYTES: Final = 1024 * 1024


def text_frame(payload: bytes) -> bytes:
    """An unmasked, final WebSocket text frame (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


@dataclass(eq=False, slots=True)
class Connection:
    """One WebSocket. ``path`` names the part of the venue it is on: public, market, spot or legacy."""

    path: str
    combined: bool
    transport: asyncio.Transport
    channels: set[str] = field(default_factory=set)
    pending: list[bytes] = field(default_factory=list)
    rewrite: Callable[[bytes], bytes] | None = None
    """Turns inner names into those that the venue uses now."""

    def send(self, payload: bytes) -> None:
        if self.rewrite is not None:
            payload = self.rewrite(payload)
        self.pending.append(text_frame(payload))

    def tear(self, payload: bytes) -> None:
        """Half of a frame, and the end of the connection."""
        frame = text_frame(payload)
        self.pending.append(frame[: len(frame) // 2])
        self.flush()
        self.transport.close()

    def flush(self) -> None:
        if not self.pending:
            return
        if not self.transport.is_closing():
            self.transport.write(b"".join(self.pending))
            if self.transport.get_write_buffer_size() > _MAX_BUFFERED_BYTES:
                self.transport.abort()
        self.pending.clear()

    def is_behind(self) -> bool:
        return (
            not self.transport.is_closing()
            and self.transport.get_write_buffer_size() > _PACE_BUFFERED_BYTES
        )


def _wrapped(channel: str, data: bytes) -> bytes:
    return b'{"stream":"%b","data":%b}' % (channel.encode(), data)


class Hub:
    """Subscriptions of one face. Channels are the venue's stream names."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.venue = ""
        """Set by the emulator: faults may be meant for one venue only."""
        self.connections: set[Connection] = set()
        self._subscribers: defaultdict[str, set[Connection]] = defaultdict(set)
        self.frames_sent = 0
        self.bytes_sent = 0
        self.on_change: list[Callable[[], None]] = []
        self._held: dict[str, bytes] = {}
        """Messages that a fault keeps back until their successor has gone."""

    @property
    def is_mute(self) -> bool:
        """Whether subscriptions are acknowledged and bring nothing."""
        return self._faults.is_mute(self.venue)

    def add(self, connection: Connection) -> None:
        self.connections.add(connection)
        changes = self._faults.listings.get(self.venue)
        connection.rewrite = None if changes is None else changes.outgoing

    def listings_changed(self) -> None:
        """Symbols were renamed or delisted: everyone hears the names of now from here on."""
        changes = self._faults.listings.get(self.venue)
        for connection in self.connections:
            connection.rewrite = None if changes is None else changes.outgoing

    def heard(self, raw: str | bytes) -> str | bytes:
        """What a client said, in inner names."""
        changes = self._faults.listings.get(self.venue)
        if changes is None:
            return raw
        return changes.incoming(raw.encode() if isinstance(raw, str) else raw)

    def remove(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self.unsubscribe(connection, list(connection.channels))

    def subscribe(self, connection: Connection, channels: Iterable[str], *, silent: bool) -> None:
        """``silent`` subscriptions are accepted and listed but get no data."""
        for channel in channels:
            connection.channels.add(channel)
            if not silent:
                self._subscribers[channel].add(connection)
        self._changed()

    def unsubscribe(self, connection: Connection, channels: Iterable[str]) -> None:
        for channel in channels:
            connection.channels.discard(channel)
            readers = self._subscribers.get(channel)
            if readers is not None:
                readers.discard(connection)
                if not readers:
                    del self._subscribers[channel]
        self._changed()

    def _changed(self) -> None:
        for listener in self.on_change:
            listener()

    def channels(self) -> set[str]:
        return set(self._subscribers)

    def wants(self, channel: str) -> bool:
        return channel in self._subscribers

    def publish(self, channel: str, data: bytes, combined: bytes | None = None) -> None:
        """Send to everyone on the channel; ``combined`` is the wrapped form where it exists already."""
        readers = self._subscribers.get(channel)
        if not readers:
            return
        if self._faults.active or self._held:
            self._publish_ill(channel, readers, data)
            return
        for connection in readers:
            if connection.combined:
                if combined is None:
                    combined = _wrapped(channel, data)
                payload = combined
            else:
                payload = data
            connection.send(payload)
            self.frames_sent += 1
            self.bytes_sent += len(payload)

    def _publish_ill(self, channel: str, readers: Iterable[Connection], data: bytes) -> None:
        """As :meth:`publish`, while faults are in force."""
        changes = self._faults.listings.get(self.venue)
        if changes is not None:
            if changes.is_gone(words_of(channel)):
                return
            data = changes.without_gone(data)
        data = restamp(data, self._faults.skew_ms.get(self.venue, 0), self.venue)
        action = self._faults.judge(self.venue, channel)
        if action is Action.LOSE:
            return
        if action is Action.LATER and channel not in self._held:
            self._held[channel] = data
            return
        messages = [data, data] if action is Action.TWICE else [data]
        if channel in self._held:
            messages.append(self._held.pop(channel))
        for connection in list(readers):
            for message in messages:
                self._send_ill(connection, channel, message, action)

    def _send_ill(
        self, connection: Connection, channel: str, data: bytes, action: Action | None
    ) -> None:
        payload = _wrapped(channel, data) if connection.combined else data
        self.frames_sent += 1
        if action is Action.TEAR:
            connection.tear(payload)
        elif action is Action.BREAK:
            connection.send(MALFORMED_FRAME)
        elif action is Action.CUT:
            connection.send(payload[: len(payload) // 2])
        else:
            connection.send(payload)
            self.bytes_sent += len(payload)

    def flush(self) -> None:
        for connection in list(self.connections):
            connection.flush()

    async def wait_for_readers(self) -> None:
        """Let slow readers catch up, so that a fast replay loses nothing."""
        while any(connection.is_behind() for connection in self.connections):  # noqa: ASYNC110 (transports only tell their buffer's size)
            await asyncio.sleep(0.002)
