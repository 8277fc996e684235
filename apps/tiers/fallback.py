"""Admission while Redis is away: the same answers, decided in this process.

Keys come from PostgreSQL and are believed for half a second, so that a revoked key is refused within one.
The minute window is exact within the process; each process has its own, so that several of them together
may let more through for the length of the outage. Day and month start from the usage log. Every admission
is spooled to disk and counted when Redis is back. 304 is not decided here: the snapshot's version is in
Redis.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings

from apps.tiers.addresses import is_listed
from apps.tiers.admission import (
    Admission,
    AdmissionRequest,
    Outcome,
    SessionRequest,
    plan_for_layer,
)
from apps.tiers.key_record import KeyRecord
from apps.tiers.limits import WINDOW_S, clean_text
from apps.tiers.periods import seconds_to_next_day, seconds_to_next_month

KEY_BELIEVED_S: Final = 0.5
# After this pause an account's quota is read again: the last outage's spool has been counted since.
QUOTA_IDLE_S: Final = 30.0
_MAX_CACHED: Final = 10_000
_WINDOW_US: Final = WINDOW_S * 1_000_000


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """Cost counted so far in the UTC day and month."""

    day: int
    month: int


@dataclass(slots=True)
class _Quota:
    day_number: int
    month: str
    use_day: int
    use_month: int
    touched: float


@dataclass(slots=True)
class _Caller:
    """Who asks, for the shared window logic."""

    window: str
    limit: int
    known: dict[str, Any] = field(default_factory=dict)


class LocalGate:
    """``load_record`` and ``quota_used`` read PostgreSQL; ``spool`` keeps one admission event on disk."""

    def __init__(
        self,
        load_record: Callable[[str], KeyRecord | None],
        quota_used: Callable[[int, str, datetime], QuotaUse],
        spool: Callable[[dict[str, Any]], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load_record = load_record
        self._quota_used = quota_used
        self._spool = spool
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._records: dict[str, tuple[float, KeyRecord | None]] = {}
        self._windows: dict[str, deque[int]] = {}
        self._quotas: dict[tuple[int, str], _Quota] = {}

    def admit(self, request: AdmissionRequest) -> Admission:
        now_us = _now_us(request.now_us)
        record = self._record(request.key_hash)
        if record is None:
            return Admission(Outcome.UNKNOWN_KEY, layer=request.layer)
        caller = _Caller(f"k{record.key_id}", record.rate_per_minute, _identity(record, request))
        refused = _status_outcome(record, request.client_ip, now_us)
        if refused is not None:
            wait_s = record.suspended_s - now_us // 1_000_000
            retry_after_s = wait_s if refused is Outcome.SUSPENDED else None
            return Admission(refused, **caller.known, retry_after_s=retry_after_s)
        quota = self._quota(record, now_us)
        with self._lock:
            return self._decide(request, record, caller, quota, now_us)

    def admit_session(self, request: SessionRequest) -> Admission:
        now_us = _now_us(request.now_us)
        known: dict[str, Any] = {
            "user_id": request.user_id,
            "account_id": request.account_id,
            "plan": request.plan,
            "layers": request.layers,
            "layer": request.layer,
            "layer_plans": request.layer_plans,
            "limit": request.rate_per_minute,
            "ts_us": now_us,
        }
        caller = _Caller(f"u{request.user_id}", request.rate_per_minute, known)
        denied = request.layer is not None and request.layer not in request.layers
        if denied or caller.limit == 0:
            known["required_plan"] = plan_for_layer(request.layer_plans, request.layer)
            known["denied_by"] = "plan"
        if caller.limit == 0:
            return Admission(Outcome.TIER_REQUIRED, **known)
        with self._lock:
            limited = self._limited(caller, now_us)
            if limited is not None:
                return limited
            self._windows[caller.window].append(now_us)
            outcome = Outcome.TIER_REQUIRED if denied else Outcome.ADMITTED
            return Admission(outcome, **known, **self._window_state(caller))

    def _decide(
        self,
        request: AdmissionRequest,
        record: KeyRecord,
        caller: _Caller,
        quota: _Quota,
        now_us: int,
    ) -> Admission:
        known = caller.known
        cost = request.cost
        denied = request.layer is not None and request.layer not in record.layers
        if denied:
            cost = 1
            known["denied_by"] = "key" if request.layer in record.plan_layers else "plan"
            known["required_plan"] = plan_for_layer(record.layer_plans, request.layer)
        if caller.limit == 0:
            return Admission(Outcome.TIER_REQUIRED, **{**known, "denied_by": "plan"})
        known["ts_us"] = now_us
        known["day_remaining"] = max(0, record.quota_day - quota.use_day)
        known["month_remaining"] = max(0, record.quota_month - quota.use_month)
        limited = self._limited(caller, now_us)
        if limited is not None:
            return limited
        exceeded = _exceeded(record, quota, cost, now_us)
        if exceeded is not None:
            state = self._window_state(caller)
            reset = state["reset_s"] or -(-(now_us + _WINDOW_US) // 1_000_000)
            return Admission(
                Outcome.QUOTA_EXCEEDED,
                **{**known, **state, "reset_s": reset},
                quota=exceeded[0],
                retry_after_s=exceeded[1],
            )
        usage_id = f"s{uuid.uuid4().hex}"
        # Spooled before it counts: an admission that cannot be kept is not let in.
        self._spool(_event(request, record, usage_id, now_us, cost))
        self._windows[caller.window].append(now_us)
        quota.use_day += cost
        quota.use_month += cost
        known["day_remaining"] = max(0, record.quota_day - quota.use_day)
        known["month_remaining"] = max(0, record.quota_month - quota.use_month)
        outcome = Outcome.TIER_REQUIRED if denied else Outcome.ADMITTED
        state = self._window_state(caller)
        return Admission(outcome, **known, **state, charged=cost, usage_id=usage_id)

    def _record(self, key_hash: str) -> KeyRecord | None:
        now = self._monotonic()
        cached = self._records.get(key_hash)
        if cached is not None and now - cached[0] < KEY_BELIEVED_S:
            return cached[1]
        record = self._load_record(key_hash)
        if len(self._records) >= _MAX_CACHED:
            self._records.clear()
        self._records[key_hash] = (now, record)
        return record

    def _quota(self, record: KeyRecord, now_us: int) -> _Quota:
        moment = datetime.fromtimestamp(now_us // 1_000_000, tz=UTC)
        day_number, month = now_us // 86_400_000_000, f"{moment:%Y%m}"
        now = self._monotonic()
        owner = (record.account_id, record.environment)
        with self._lock:
            quota = self._quotas.get(owner)
            if quota is not None and now - quota.touched < QUOTA_IDLE_S:
                _roll_over(quota, day_number, month)
                quota.touched = now
                return quota
        use = self._quota_used(record.account_id, record.environment, moment)
        with self._lock:
            current = self._quotas.get(owner)
            if current is None or current is quota:
                current = _Quota(day_number, month, use.day, use.month, now)
                self._quotas[owner] = current
            return current

    def _limited(self, caller: _Caller, now_us: int) -> Admission | None:
        window = self._windows.setdefault(caller.window, deque())
        while window and window[0] <= now_us - _WINDOW_US:
            window.popleft()
        if len(window) < caller.limit:
            return None
        free_us = window[len(window) - caller.limit] + _WINDOW_US
        return Admission(
            Outcome.RATE_LIMITED,
            **caller.known,
            reset_s=-(-free_us // 1_000_000),
            retry_after_s=max(1, -(-(free_us - now_us) // 1_000_000)),
        )

    def _window_state(self, caller: _Caller) -> dict[str, Any]:
        window = self._windows[caller.window]
        reset_s = -(-(window[0] + _WINDOW_US) // 1_000_000) if window else 0
        return {"remaining": caller.limit - len(window), "reset_s": reset_s}


def _now_us(given: int | None) -> int:
    return time.time_ns() // 1000 if given is None else given


def _identity(record: KeyRecord, request: AdmissionRequest) -> dict[str, Any]:
    return {
        "key_id": record.key_id,
        "account_id": record.account_id,
        "plan": record.plan,
        "layers": record.layers,
        "layer": request.layer,
        "layer_plans": record.layer_plans,
        "limit": record.rate_per_minute,
    }


def _status_outcome(record: KeyRecord, client_ip: str, now_us: int) -> Outcome | None:
    if record.is_revoked:
        return Outcome.REVOKED
    if record.environment != settings.KEY_ENVIRONMENT:
        return Outcome.WRONG_ENVIRONMENT
    if 0 < record.expires_s <= now_us // 1_000_000:
        return Outcome.EXPIRED
    if record.suspended_s > now_us // 1_000_000:
        return Outcome.SUSPENDED
    return None if is_listed(client_ip, record.networks) else Outcome.IP_NOT_ALLOWED


def _exceeded(record: KeyRecord, quota: _Quota, cost: int, now_us: int) -> tuple[str, int] | None:
    now_s = now_us // 1_000_000
    if quota.use_month + cost > record.quota_month:
        return "month", seconds_to_next_month(now_s)
    if quota.use_day + cost > record.quota_day:
        return "day", seconds_to_next_day(now_s)
    return None


def _roll_over(quota: _Quota, day_number: int, month: str) -> None:
    if quota.day_number != day_number:
        quota.day_number, quota.use_day = day_number, 0
    if quota.month != month:
        quota.month, quota.use_month = month, 0


def _event(
    request: AdmissionRequest, record: KeyRecord, usage_id: str, now_us: int, cost: int
) -> dict[str, Any]:
    """The same fields that the script adds to the stream."""
    return {
        "id": usage_id,
        "ts": now_us,
        "r": request.request_id,
        "a": record.account_id,
        "k": record.key_id,
        "e": record.environment,
        "m": settings.MARKET,
        "x": request.metric or "",
        "h": request.method,
        "p": clean_text(request.path),
        "q": clean_text(request.params),
        "c": cost,
    }
