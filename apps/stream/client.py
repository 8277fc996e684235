"""One connected client, whatever it came by: its identity, its subscriptions, its way out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from apps.core.errors import FocsalError, SlowConsumer
from apps.core.ids import new_request_id
from apps.feed.registry import Policy
from apps.stream.errors import close_code
from apps.stream.frames import Frame, error_frame, gap_frame, now_iso, op_frame
from apps.stream.identity import Identity
from apps.stream.outlet import Outlet, Sink
from apps.stream.subscription import Subscription


@dataclass(slots=True)
class Traffic:
    """What a session has done, for its account to see."""

    frames_in: int = 0
    dropped: int = 0


def address_of(scope: Any) -> str:
    """The caller's address, empty for a unix socket."""
    client = scope.get("client")
    return str(client[0]) if client else ""


class Client:
    """Belongs to one event loop. ``transport`` is ``websocket`` or ``sse``, ``address`` the caller's."""

    def __init__(self, sink: Sink, transport: str, address: str) -> None:
        self.id = "ses_" + new_request_id()[4:]
        self.transport = transport
        self.address = address
        self.loop = asyncio.get_running_loop()
        self.outlet = Outlet(sink)
        self.identity: Identity | None = None
        self.subscriptions: dict[str, Subscription] = {}
        self.connected_s = time.time()
        self.heartbeat_due_s = self.loop.time() + settings.STREAM_HEARTBEAT_S
        self.ping_due_s = self.loop.time() + settings.STREAM_PING_S
        self.traffic = Traffic()
        self._pending: dict[str, Subscription] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        pump = sink.on_writable
        sink.on_writable = lambda: self._on_writable(pump)

    # --- out -----------------------------------------------------------------------------------------

    def push(self, frame: Frame) -> None:
        self.outlet.push(frame)

    def note_pending(self, subscription: Subscription) -> None:
        """Something was merged for it: told when the client reads again."""
        self._pending[subscription.name] = subscription

    def _on_writable(self, pump: Any) -> None:
        pump()
        while self._pending and self.outlet.is_clear:
            name = next(iter(self._pending))
            self._pending.pop(name).tell_pending()

    def heartbeat(self) -> None:
        """The last seq of each channel as frames told it; ``heads`` are those that filters let pass by."""
        subscriptions = self.subscriptions.values()
        joined = [one for one in subscriptions if one.is_joined]
        heads = {one.name: one.head for one in joined if one.head != one.told}
        channels = {one.name: one.told for one in joined}
        self.push(op_frame("heartbeat", ts=now_iso(), channels=channels, heads=heads or None))
        self.heartbeat_due_s = self.loop.time() + settings.STREAM_HEARTBEAT_S

    def fail(self, error: FocsalError, **fields: Any) -> None:
        """Say what is wrong and close with the code that stands for it."""
        self.outlet.finish(close_code(error), error.code, error_frame(error, **fields))

    def overrun(self) -> None:
        """The queue of a reader that wants everything is full: say what it loses, then close."""
        gaps = [
            gap_frame(one.name, one.told + 1, one.head)
            for one in self.subscriptions.values()
            if one.policy is Policy.ALL and one.head > one.told
        ]
        self.traffic.dropped += len(gaps)
        error = SlowConsumer(
            "Frames wait that were not read; resume with from_seq, read faster, or subscribe with "
            'policy "latest".'
        )
        for one in self.subscriptions.values():
            one.is_over = True
        self.outlet.finish(close_code(error), error.code, *gaps, error_frame(error))

    # --- life ----------------------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Something that ends with the client."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def gone(self) -> None:
        self.outlet.gone()
        self._pending.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
