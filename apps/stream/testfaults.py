"""Test faults of one connection: a sink in front of its own, which changes what leaves for it alone.

Frames are shared by all sockets; here each becomes a copy, so that no other socket sees a fault.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from django.conf import settings

from apps.core.errors import FocsalError
from apps.core.testfaults.header import HEADER, read
from apps.core.testfaults.socket import SocketFaults
from apps.stream.client import Client
from apps.stream.frames import Batch, Frame
from apps.stream.outlet import Sink

_HEADER: Final = HEADER.lower().encode()
_MOST_HELD: Final = 500
_EVENT: Final = b"\ndata: "
"""Between id and text of a server-sent event."""


def faults_begin(client: Client, scope: Any) -> FocsalError | None:
    """Give an authenticated client the faults that its header asks for.

    Returns the refusal that it asked for; ``close_code_of`` the client goes with it. Raises
    ``InvalidParameter`` for a header that says nothing we know, and wherever keys are not test keys.
    """
    text = dict(scope["headers"]).get(_HEADER)
    if text is None:
        return None
    asked = read(text.decode("latin-1"), settings.KEY_ENVIRONMENT)
    faults = SocketFaults(asked)
    sink = FaultySink(client.outlet.sink, faults, client.loop)
    client.outlet.sink = sink
    if faults.disconnect_s is not None:
        client.spawn(_cut(sink, faults.disconnect_s))
    return asked.refusal() if faults.close_code else None


def close_code_of(client: Client) -> int:
    """What its faults close the client with; 0 for nothing."""
    sink = client.outlet.sink
    return sink.faults.close_code if isinstance(sink, FaultySink) else 0


def bare(sink: Sink) -> Sink:
    """The sink that stands at the transport."""
    return sink.inner if isinstance(sink, FaultySink) else sink


async def _cut(sink: Sink, seconds: float) -> None:
    await asyncio.sleep(seconds)
    sink.abort()


class FaultySink:
    """Frames of one client, changed, left out or held back, in order."""

    def __init__(self, inner: Sink, faults: SocketFaults, loop: asyncio.AbstractEventLoop) -> None:
        self.inner = inner
        self.faults = faults
        self.on_writable: Callable[[], None] = inner.on_writable
        inner.on_writable = self._pump
        self._loop = loop
        self._held: deque[tuple[float, Frame]] = deque()
        self._closing: tuple[int, str] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_writable(self) -> bool:
        return self.inner.is_writable and len(self._held) < _MOST_HELD

    def write(self, frame: Frame) -> None:
        due_s = self._loop.time() + self.faults.delay_s
        for one in frame.frames if isinstance(frame, Batch) else (frame,):
            changed = self._changed(one)
            if changed is not None:
                self._held.append((due_s, changed))
        self._send()

    def finish(self, code: int, reason: str) -> None:
        if self._closing is None:
            self._closing = (code, reason)
            self._send()

    def abort(self) -> None:
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()
        self.inner.abort()

    def _changed(self, frame: Frame) -> Frame | None:
        head, mark, text = frame.text.rpartition(_EVENT)
        changed = self.faults.frame(text.rstrip(b"\n") if mark else text)
        if changed is None:
            return None
        # What ends in the middle does not end in the middle of a letter.
        whole = changed.decode(errors="ignore").encode()
        return Frame(head + mark + whole + b"\n\n" if mark else whole)

    def _pump(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._send()
        if self._closing is None and self.is_writable:
            self.on_writable()

    def _send(self) -> None:
        """What is due, as far as the transport takes it; the end comes after everything held."""
        while self._held and self.inner.is_writable and self._held[0][0] <= self._loop.time():
            self.inner.write(self._held.popleft()[1])
        if not self.inner.is_writable:
            # It calls when it takes frames again.
            return
        if not self._held and self._closing is not None:
            self.inner.finish(*self._closing)
        if self._held and self._timer is None:
            self._timer = self._loop.call_at(self._held[0][0], self._pump)
