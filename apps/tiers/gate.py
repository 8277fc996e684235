"""The door: what views, middleware and the edge call to let a request in.

It asks the limiter once, and only when the answer says so does more: loads a key that Redis does not know,
rebuilds counters after a loss of Redis, or decides locally while Redis is away. The parts above this one
(keys, usage) hang their functions into ``hooks`` when Django starts, so that tiers imports neither.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from channels.db import database_sync_to_async
from django.db import Error as DatabaseError
from redis.exceptions import RedisError

from apps.core.logs import get_logger
from apps.core.redis import decisive_redis
from apps.tiers.admission import Admission, AdmissionRequest, Outcome, SessionRequest
from apps.tiers.limits import SyncLimiter

_log = get_logger(__name__)
# What a lost or refusing Redis raises; redis-py lets OSError through while it connects.
REDIS_AWAY: Final = (RedisError, OSError, TimeoutError)


def _missing(*_: object) -> Admission:
    raise RuntimeError("admission hooks are set in AppConfig.ready of keys and usage")


@dataclass(slots=True)
class Hooks:
    """``load_key(sha256)`` puts the key's record (or its absence) into Redis and says if it exists.

    ``rebuild_counters()`` refills quotas and windows from PostgreSQL and sets the sentinel.
    ``admit_locally(request)`` and ``admit_session_locally(request)`` decide without Redis.
    """

    load_key: Callable[[str], bool] = _missing  # type: ignore[assignment]  # set at start
    rebuild_counters: Callable[[], None] = _missing  # type: ignore[assignment]  # set at start
    admit_locally: Callable[[AdmissionRequest], Admission] = _missing
    admit_session_locally: Callable[[SessionRequest], Admission] = _missing


hooks: Final = Hooks()
# After Redis has failed, blocking callers leave it alone for this long instead of waiting in turn.
BREAKER_PAUSE_S: Final = 1.0


class Breaker:
    """Remembers for a moment that Redis is away."""

    def __init__(self) -> None:
        self._until = 0.0

    def is_open(self) -> bool:
        return time.monotonic() < self._until

    def trip(self, pause_s: float = BREAKER_PAUSE_S) -> None:
        self._until = time.monotonic() + pause_s


breaker: Final = Breaker()


def _is_settled(admission: Admission) -> bool:
    if admission.outcome is Outcome.UNKNOWN_KEY:
        return admission.denied_by == "known"
    return admission.outcome is not Outcome.REBUILD_COUNTERS


def _prepare_retry(request: AdmissionRequest, admission: Admission) -> bool:
    """Do what the answer asks for; False when asking again can bring nothing."""
    if admission.outcome is Outcome.UNKNOWN_KEY:
        return hooks.load_key(request.key_hash)
    hooks.rebuild_counters()
    return True


_LOG_EVERY_S: Final = 1.0
_away_logged_s = float("-inf")
_UNAVAILABLE: Final = Admission(Outcome.UNAVAILABLE, retry_after_s=5)
# A key can be unknown and the counters lost at once: each costs one more question.
_ATTEMPTS: Final = 4


def admit(request: AdmissionRequest) -> Admission:
    """Decide about one keyed request from blocking code."""
    if breaker.is_open():
        return _decide_locally(request)
    limiter = SyncLimiter(decisive_redis())
    try:
        admission = limiter.admit(request)
        for _ in range(_ATTEMPTS):
            if _is_settled(admission) or not _prepare_retry(request, admission):
                return admission
            admission = limiter.admit(request)
    except REDIS_AWAY as error:
        breaker.trip()
        return _admit_locally(request, error)
    except DatabaseError as error:
        return _database_away(error)
    return admission if _is_settled(admission) else _UNAVAILABLE


async def admit_async(
    request: AdmissionRequest, ask: Callable[[AdmissionRequest], Awaitable[Admission]]
) -> Admission:
    """Decide about one keyed request from asyncio code.

    ``ask`` is ``AsyncLimiter(client).admit``, or any other way to run the script on the caller's own
    connection; a ``RedisError``, ``OSError`` or timeout out of it means that Redis is away.
    """
    try:
        admission = await ask(request)
        for _ in range(_ATTEMPTS):
            if _is_settled(admission) or not await _in_thread(_prepare_retry)(request, admission):
                return admission
            admission = await ask(request)
    except REDIS_AWAY as error:
        return cast(Admission, await _in_thread(_admit_locally)(request, error))
    except DatabaseError as error:
        return _database_away(error)
    return admission if _is_settled(admission) else _UNAVAILABLE


def _in_thread(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    wrapped: Callable[..., Awaitable[Any]] = database_sync_to_async(
        function, thread_sensitive=False
    )
    return wrapped


def _admit_locally(request: AdmissionRequest, reason: Exception) -> Admission:
    _log_away(reason)
    return _decide_locally(request)


def _decide_locally(request: AdmissionRequest) -> Admission:
    try:
        return hooks.admit_locally(request)
    except (DatabaseError, OSError) as error:
        return _database_away(error)


def _log_away(reason: Exception) -> None:
    """At most one line a second: an outage must not write a line for every request."""
    global _away_logged_s
    now_s = time.monotonic()
    if now_s - _away_logged_s >= _LOG_EVERY_S:
        _away_logged_s = now_s
        _log.warning("redis_away", error=type(reason).__name__)


def _database_away(error: Exception) -> Admission:
    _log.error("admission_unavailable", error=type(error).__name__)
    return _UNAVAILABLE


def admit_session(request: SessionRequest) -> Admission:
    """Decide about one call of a signed-in page."""
    if breaker.is_open():
        return hooks.admit_session_locally(request)
    try:
        return SyncLimiter(decisive_redis()).admit_session(request)
    except REDIS_AWAY as error:
        breaker.trip()
        _log.warning("redis_away", error=type(error).__name__)
        return hooks.admit_session_locally(request)
