"""How answers end: status, latency and size, joined to their admissions by usage id."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import redis.asyncio as aredis
from channels.db import database_sync_to_async
from django.db import Error as DatabaseError

from apps.core.logs import get_logger
from apps.core.redis import decisive_redis
from apps.tiers.admission import Admission
from apps.tiers.gate import REDIS_AWAY
from apps.tiers.limits import COMPLETIONS_STREAM
from apps.usage import spool

FLUSH_INTERVAL_S: Final = 0.25
_ROUNDS_PER_RECOVERY: Final = 20
_log = get_logger(__name__)
# A batch is encoded in one go on the event loop: about 1 ms, which requests do not feel.
MAX_BATCH: Final = 250


@dataclass(frozen=True, slots=True)
class Completion:
    """``ts_us`` is the admission's wall-clock time (µs), which finds the row's partition."""

    usage_id: str
    ts_us: int
    status: int
    latency_us: int
    body_bytes: int
    served_by: str

    def encode(self) -> str:
        return (
            f"{self.usage_id},{self.ts_us},{self.status},{self.latency_us},"
            f"{self.body_bytes},{self.served_by}"
        )


def decode_completion(raw: bytes | str) -> Completion:
    """Raises ValueError on anything that ``encode`` did not write."""
    text = raw.decode() if isinstance(raw, bytes) else raw
    usage_id, ts_us, status, latency_us, body_bytes, served_by = text.split(",")
    return Completion(
        usage_id, int(ts_us), int(status), int(latency_us), int(body_bytes), served_by
    )


Sender = Callable[[Sequence[str]], Awaitable[None]]


def redis_sender(client: aredis.Redis) -> Sender:
    """Sends a batch to the completions stream in one pipeline."""

    async def send(batch: Sequence[str]) -> None:
        # A transaction, so that a broken connection cannot leave half of it behind.
        pipeline: Any = client.pipeline(transaction=True)
        for text in batch:
            pipeline.xadd(COMPLETIONS_STREAM, {"c": text})
        await pipeline.execute()

    return send


class CompletionBuffer:
    """Collects completions in an event loop and sends them every 250 ms in one pipeline.

    ``send`` is ``redis_sender(client)``, or appends each text as field ``c`` to the completions stream on
    the caller's own connection; a ``RedisError``, ``OSError`` or timeout out of it means Redis is away.
    Use: ``await buffer.start()`` once, ``buffer.add(...)`` per answer, ``await buffer.stop()`` at the end
    (flushes). ``add`` never blocks and never raises. What Redis does not take goes to the spool.
    """

    def __init__(self, send: Sender, served_by: str = "edge") -> None:
        self._send = send
        self._served_by = served_by
        self._waiting: deque[Completion] = deque()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="usage-completions")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self.flush()

    def add(self, usage_id: str, ts_us: int, status: int, latency_us: int, body_bytes: int) -> None:
        """``usage_id`` and ``ts_us`` are the admission's; without an id nothing was admitted."""
        if usage_id:
            self._waiting.append(
                Completion(usage_id, ts_us, status, latency_us, body_bytes, self._served_by)
            )

    def record(self, admission: Admission, status: int, latency_us: int, body_bytes: int) -> None:
        self.add(admission.usage_id, admission.ts_us, status, latency_us, body_bytes)

    async def flush(self) -> None:
        """Send all that waits now."""
        while self._waiting:
            count = min(MAX_BATCH, len(self._waiting))
            batch = [self._waiting.popleft().encode() for _ in range(count)]
            try:
                await self._send(batch)
            except REDIS_AWAY:
                await asyncio.to_thread(spool.append_completions, batch)

    async def _run(self) -> None:
        rounds = 0
        while True:
            await asyncio.sleep(FLUSH_INTERVAL_S)
            rounds += 1
            if rounds % _ROUNDS_PER_RECOVERY == 0 and spool.has_files():
                await _recover()
            # Shielded: a batch that left the queue must reach Redis or the spool, whoever stops us.
            await asyncio.shield(asyncio.create_task(self.flush()))


async def _recover() -> None:
    """Count this host's spool: the worker may run on another one, which does not see it."""
    # Recovery reads completions, so it cannot be imported at the top.
    from apps.usage.recovery import spool_drain

    try:
        await database_sync_to_async(spool_drain, thread_sensitive=False)()
    except (*REDIS_AWAY, DatabaseError) as error:
        _log.warning("spool_waits", error=type(error).__name__)


def completion_record(
    admission: Admission, status: int, latency_us: int, body_bytes: int, served_by: str = "drf"
) -> None:
    """Send one completion from blocking code; never raises for a lost Redis."""
    if not admission.usage_id:
        return
    completion = Completion(
        admission.usage_id, admission.ts_us, status, latency_us, body_bytes, served_by
    ).encode()
    try:
        decisive_redis().xadd(COMPLETIONS_STREAM, {"c": completion})
    except REDIS_AWAY:
        spool.append_completions([completion])
