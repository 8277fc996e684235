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

from apps.sandbox.faults import MALFORMED_FRAME, Faults

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

    def send(self, payload: bytes) -> None:
        self.pending.append(text_frame(payload))

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

    def add(self, connection: Connection) -> None:
        self.connections.add(connection)

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
        broken = False
        if self._faults.active:
            verdict = self._faults.judge(self.venue, channel)
            if verdict.drop:
                return
            broken = verdict.broken
        for connection in readers:
            if broken:
                payload = MALFORMED_FRAME
            elif connection.combined:
                if combined is None:
                    combined = b'{"stream":"%b","data":%b}' % (channel.encode(), data)
                payload = combined
            else:
                payload = data
            connection.send(payload)
            self.frames_sent += 1
            self.bytes_sent += len(payload)

    def flush(self) -> None:
        for connection in list(self.connections):
            connection.flush()

    async def wait_for_readers(self) -> None:
        """Let slow readers catch up, so that a fast replay loses nothing."""
        while any(connection.is_behind() for connection in self.connections):  # noqa: ASYNC110 (transports only tell their buffer's size)
            await asyncio.sleep(0.002)
