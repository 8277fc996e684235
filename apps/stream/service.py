"""Everything that streams in one web process: started and stopped with it, drained before it ends."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any, Final

from django.conf import settings

from apps.core.errors import FocsalError, SocketLimit
from apps.core.health import draining
from apps.core.logs import get_logger
from apps.core.redis import bounded_async_redis
from apps.feed.ending import is_ending
from apps.stream.client import Client
from apps.stream.control import ControlListener
from apps.stream.errors import CLOSE_DEFECT, CLOSE_RESTART
from apps.stream.frames import Frame, op_frame
from apps.stream.hub import Hub
from apps.stream.identity import AWAY, Authenticator, Identity
from apps.stream.metrics import StreamMetrics
from apps.stream.sessions import Sessions
from apps.stream.testfaults import bare
from apps.stream.wire import WireProtocol

_log = get_logger(__name__)
TICK_S: Final = 0.25
LEASE_EVERY_S: Final = 1.0
SESSIONS_EVERY_S: Final = 5.0
VERIFY_EVERY_S: Final = 15.0
QUOTAS_EVERY_S: Final = 2.0
DRAIN_S: Final = 20.0
"""At most; a few sockets are let go in a moment."""
_DRAIN_PER_SOCKET_S: Final = 0.02
_DRAIN_LEAST_S: Final = 0.3
_CLOSE_PATIENCE_S: Final = 5.0


class StreamService:
    """One per process; ``start`` on the server's event loop."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self.hub = Hub()
        self.metrics = StreamMetrics(self)
        self.is_started = False
        self._tasks: list[asyncio.Task[None]] = []
        self._listed: dict[str, tuple[int, int]] = {}
        self._emptied = asyncio.Event()

    async def start(self) -> None:
        if self.is_started:
            return
        self.is_started = True
        draining.clear()
        self.redis = bounded_async_redis()
        self.sessions = Sessions(self.redis)
        self.authenticator = Authenticator(self.redis)
        self.control = ControlListener(self)
        await self.hub.start()
        work = {
            "stream-clock": self._tick(),
            "stream-lease": self._every(LEASE_EVERY_S, self.sessions.renew_lease),
            "stream-sessions": self._every(SESSIONS_EVERY_S, self._update_sessions),
            "stream-verify": self._every(VERIFY_EVERY_S, self.control.verify_all),
            "stream-quotas": self._every(QUOTAS_EVERY_S, self.control.verify_quotas),
            "stream-control": self.control.run(),
            "stream-wants": self.hub.keep_wanted(),
        }
        self._tasks = [asyncio.create_task(one, name=name) for name, one in work.items()]

    async def stop(self) -> None:
        if not self.is_started:
            return
        self.is_started = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in list(self.clients.values()):
            client.outlet.finish(CLOSE_RESTART, "going_away")
            await self.leave(client)
        await self.control.stop()
        await self.hub.stop()
        try:
            await self.sessions.end()
        except AWAY:
            # The lease runs out by itself.
            _log.info("stream_lease_left")
        await self.redis.aclose()

    # --- clients -------------------------------------------------------------------------------------

    async def enter(self, client: Client, identity: Identity) -> None:
        """Count the session; raises ``SocketLimit``. Without Redis this process alone is counted."""
        client.identity = identity
        self.clients[client.id] = client
        try:
            is_let_in = await self.sessions.enter(client, identity)
        except AWAY:
            own = [one for one in self.clients.values() if _account(one) == identity.account_id]
            is_let_in = len(own) <= identity.max_sockets
        if not is_let_in:
            del self.clients[client.id]
            raise SocketLimit(
                f"The plan allows {identity.max_sockets} sockets an account at once; close one first.",
                retry_after=5,
            )

    async def leave(self, client: Client) -> None:
        """Undo ``enter``, whatever state the client is in."""
        for subscription in client.subscriptions.values():
            self.hub.unsubscribe(subscription)
        client.subscriptions.clear()
        await client.gone()
        self._listed.pop(client.id, None)
        if self.clients.pop(client.id, None) is None or client.identity is None:
            return
        if not self.clients:
            self._emptied.set()
        try:
            await self.sessions.leave(client.id, client.identity.account_id)
        except AWAY:
            # Listed until this process' lease ends.
            _log.info("stream_session_left", session=client.id)

    def close(self, client: Client, error: FocsalError) -> None:
        self.metrics.closed[error.code] += 1
        client.fail(error)

    # --- clock ---------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK_S)
            now_s = loop.time()
            self.hub.forget_idle(now_s)
            for client in list(self.clients.values()):
                try:
                    _care(client, now_s)
                except Exception:
                    _log.exception("stream_defect", session=client.id)
                    client.outlet.finish(CLOSE_DEFECT, "internal")

    async def _every(self, period_s: float, work: Any) -> None:
        while not is_ending():
            try:
                await work()
            except AWAY as error:
                _log.info("stream_redis_away", error=type(error).__name__)
            except Exception:
                _log.exception("stream_defect")
            await asyncio.sleep(period_s)

    async def _update_sessions(self) -> None:
        """Refresh the list of those that changed."""
        changed = []
        for client in self.clients.values():
            state = (len(client.subscriptions), client.outlet.sent)
            if client.identity is not None and self._listed.get(client.id) != state:
                self._listed[client.id] = state
                changed.append((client, client.identity))
        if changed:
            await self.sessions.update(changed)

    # --- end -----------------------------------------------------------------------------------------

    async def drain(self, at_most_s: float = DRAIN_S) -> None:
        """Tell every client when to come back, close them one after another, wait until they are gone."""
        draining.set()
        clients = list(self.clients.values())
        spread_s = min(at_most_s, _DRAIN_LEAST_S + _DRAIN_PER_SOCKET_S * len(clients))
        loop = asyncio.get_running_loop()
        for client in clients:
            delay_s = random.uniform(0.1, spread_s)  # noqa: S311 - spreads load, keeps no secret
            client.push(going_away(delay_s))
            loop.call_later(delay_s, client.outlet.finish, CLOSE_RESTART, "going_away")
        self._emptied.clear()
        if self.clients:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(spread_s + _CLOSE_PATIENCE_S):
                    await self._emptied.wait()
        if clients:
            _log.info("stream_drained", clients=len(clients), left=len(self.clients))


def going_away(delay_s: float) -> Frame:
    """Said before a restart; after the delay the socket is closed with 1012."""
    return op_frame(
        "going_away",
        delay_ms=round(delay_s * 1000),
        detail="This server restarts; connect again and resume with from_seq.",
    )


def _account(client: Client) -> int:
    return 0 if client.identity is None else client.identity.account_id


def _care(client: Client, now_s: float) -> None:
    """Heartbeat, ping, silence."""
    if now_s >= client.heartbeat_due_s:
        client.heartbeat()
    sink = bare(client.outlet.sink)
    if isinstance(sink, WireProtocol):
        if now_s - sink.heard_s >= settings.STREAM_SILENCE_S:
            sink.abort()
        elif now_s >= client.ping_due_s:
            client.ping_due_s = now_s + settings.STREAM_PING_S
            sink.ping()
