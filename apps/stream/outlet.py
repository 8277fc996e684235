"""The way out to one client: a sink that takes bytes, and a bounded queue for when it does not."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from apps.stream.frames import Batch, Frame

MAX_QUEUED_FRAMES: Final = 2000
MAX_QUEUED_BYTES: Final = 512 * 1024
_LINGER_S: Final = 10.0


class Sink(Protocol):
    """Where frames go. ``write`` is called only while ``is_writable``; ``on_writable`` is set by the outlet
    and called when the sink takes frames again."""

    on_writable: Callable[[], None]

    @property
    def is_writable(self) -> bool: ...

    def write(self, frame: Frame) -> None: ...

    def finish(self, code: int, reason: str) -> None:
        """Close after what was written."""

    def abort(self) -> None:
        """Close without waiting for the client."""


class Outlet:
    """Frames in order, straight through while the client reads, queued while it does not."""

    __slots__ = (
        "_closing", "_drained", "_linger", "_queue", "_queued_bytes", "is_clear", "is_closed", "sent",
        "sink", "stamp",
    )  # fmt: skip

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self._queue: deque[Frame] = deque()
        self._queued_bytes = 0
        self._drained: asyncio.Event | None = None
        self._closing: tuple[int, str] | None = None
        self._linger: asyncio.TimerHandle | None = None
        self.is_clear = True
        """A write goes straight to the sink."""
        self.is_closed = False
        self.sent = 0
        self.stamp: Callable[[Frame], Frame] | None = None
        """Makes a frame this client's own; without it frames are shared by all."""
        sink.on_writable = self._pump

    def push(self, frame: Frame) -> None:
        """Send or queue."""
        if self.is_closed or self._closing is not None:
            return
        if self.stamp is not None:
            frame = self.stamp(frame)
        if self.is_clear:
            self.write(frame)
        else:
            self._keep(frame)

    def write(self, frame: Frame) -> None:
        """Only while ``is_clear``."""
        self.sink.write(frame)
        self.sent += len(frame.frames) if isinstance(frame, Batch) else 1
        if not self.sink.is_writable:
            self.is_clear = False

    def _keep(self, frame: Frame) -> None:
        frames = frame.frames if isinstance(frame, Batch) else (frame,)
        self._queue.extend(frames)
        self._queued_bytes += sum(len(one.text) for one in frames)

    @property
    def is_full(self) -> bool:
        return len(self._queue) >= MAX_QUEUED_FRAMES or self._queued_bytes >= MAX_QUEUED_BYTES

    async def drained(self) -> None:
        """Until everything queued was taken, or the client is gone."""
        while not (self.is_clear or self.is_closed):
            self._drained = self._drained or asyncio.Event()
            await self._drained.wait()

    def finish(self, code: int, reason: str, *last: Frame) -> None:
        """Send what is queued, then ``last``, then close; a client that does not read is cut off."""
        if self.is_closed or self._closing is not None:
            return
        for frame in last:
            self.push(frame)
        self._closing = (code, reason)
        if self.is_clear:
            self._close()
        else:
            self._linger = asyncio.get_running_loop().call_later(_LINGER_S, self.sink.abort)

    def gone(self) -> None:
        """The connection is no more."""
        self.is_closed = True
        self.is_clear = False
        self._queue.clear()
        self._queued_bytes = 0
        if self._linger is not None:
            self._linger.cancel()
        self._wake()

    def _close(self) -> None:
        code, reason = self._closing or (1000, "")
        self.is_clear = False
        if self._linger is not None:
            self._linger.cancel()
        self.sink.finish(code, reason)

    def _pump(self) -> None:
        if self.is_closed:
            return
        queue = self._queue
        while queue and self.sink.is_writable:
            frame = queue.popleft()
            self._queued_bytes -= len(frame.text)
            self.sink.write(frame)
            self.sent += 1
        if queue or not self.sink.is_writable:
            return
        if self._closing is not None:
            self._close()
            return
        self.is_clear = True
        self._wake()

    def _wake(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.set()


class AsgiSink:
    """Frames through an ASGI ``send``, one message under way at a time.

    ``message`` makes the ASGI event of a frame, ``last`` that of the end, after which ``on_end`` is called.
    Any server will do; the faster way is ``apps.stream.wire``.
    """

    def __init__(
        self,
        send: Callable[[Any], Awaitable[None]],
        message: Callable[[Frame], Any],
        last: Callable[[int, str], Any],
        on_end: Callable[[], None],
    ) -> None:
        self.on_writable: Callable[[], None] = _nothing
        self._send = send
        self._message = message
        self._last = last
        self._on_end = on_end
        self._is_last = False
        self._task: asyncio.Task[None] | None = None

    @property
    def is_writable(self) -> bool:
        return self._task is None

    def write(self, frame: Frame) -> None:
        frames = frame.frames if isinstance(frame, Batch) else (frame,)
        self._start([self._message(one) for one in frames])

    def finish(self, code: int, reason: str) -> None:
        self._is_last = True
        self._start([self._last(code, reason)])

    def abort(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._on_end()

    def _start(self, messages: list[Any]) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(messages))

    async def _run(self, messages: list[Any]) -> None:
        try:
            for message in messages:
                await self._send(message)
        except (OSError, RuntimeError):
            # The client has left; the receiving side learns of it too.
            self._on_end()
            return
        if self._is_last:
            self._on_end()
            return
        self._task = None
        self.on_writable()


def _nothing() -> None:
    """Nobody waits."""
