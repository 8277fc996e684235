"""What readiness asks of the market: snapshots of the HOT assets, the backfill behind them, live venues."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import redis
from django.conf import settings

from apps.core.health import CORE_CHECKS, Check, CheckResult, check_draining
from apps.core.redis import market_key, sync_redis
from apps.marketdata.clocksync import sync_market_clock
from apps.marketdata.delivery import delivering
from apps.marketdata.selectors import source_statuses
from apps.marketdata.universe import HOT, AssetTier
from apps.snapshots.registry import all_specs
from apps.snapshots.services import hold_history, made_with_key

_SETTLE_S: Final = 2.5
"""The schedule looks every two seconds: who has begun to deliver is known to it."""
_REDIS_AWAY: Final = CheckResult("unknown", "Redis does not answer.")


def _number(value: bytes | None) -> int:
    return int(float(value)) if value else 0


class SnapshotsCheck:
    """Sandbox and live serve every HOT asset; a recording may hold one asset only, so one is enough.

    In the sandbox all of them are of the last quarter of an hour and hold their 30 days. That is remembered
    once true, for a web process must not be taken out of service because no worker makes new ones.
    """

    def __init__(self) -> None:
        self.is_settled = False

    def __call__(self) -> CheckResult:
        pairs = [(spec.metric, asset) for spec in all_specs() for asset in HOT]
        pipeline = sync_redis().pipeline(transaction=False)
        for metric, asset in pairs:
            pipeline.hexists(market_key("snap", metric, asset), "v")
        made_with = [made_with_key(spec.metric, tier) for spec in all_specs() for tier in AssetTier]
        try:
            present = sum(bool(found) for found in pipeline.execute())
            is_whole = self.is_settled or hold_history(sync_redis().mget(made_with))
        except redis.RedisError:
            return _REDIS_AWAY
        needed = 1 if settings.MARKET == "replay" else len(pairs)
        if present < needed:
            return CheckResult("missing", f"{present} of {needed} snapshots are published.")
        if settings.MARKET == "sandbox" and not is_whole:
            return CheckResult(
                "running", "Snapshots with their 30 days of context are on their way."
            )
        self.is_settled = True
        return CheckResult()


def check_backfill() -> CheckResult:
    """History that percentiles need. Only the sandbox waits for it: a live venue may be slow, and what
    is missing is said in the answers; a recording has none."""
    try:
        state: Any = sync_redis().hgetall(market_key("backfill"))
    except redis.RedisError:
        return _REDIS_AWAY
    progress: dict[str, Any] = {
        "done": _number(state.get(b"done")),
        "total": _number(state.get(b"total")),
        "phase": state.get(b"phase", b"waiting").decode("utf-8", "replace"),
        # The rest of the year, which goes on while answers are served.
        "background": {
            "state": state.get(b"background_state", b"waiting").decode("utf-8", "replace"),
            "done": _number(state.get(b"background_done")),
            "total": _number(state.get(b"background_total")),
        },
    }
    is_ready = state.get(b"state") == b"ready"
    if is_ready or settings.MARKET != "sandbox":
        return CheckResult(extra={"backfill": progress})
    detail = f"{progress['done']} of {progress['total']} steps are done."
    return CheckResult("running", detail, extra={"backfill": progress})


class VenuesCheck:
    """Venues deliver, and have done so for long enough that snapshots hold what they said.

    A start is not over before that: what Redis kept from the last run is old. Remembered once true, for
    a web process must not be taken out of service because ``ingest`` is away.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._since: float | None = None
        self.is_settled = False

    def __call__(self) -> CheckResult:
        if self.is_settled:
            return CheckResult()
        try:
            sync_market_clock()
            sources = source_statuses().values()
        except redis.RedisError:
            return _REDIS_AWAY
        if not delivering(sources):
            self._since = None
            return CheckResult("waiting", "No venue delivers yet.")
        self._since = self._since or self._monotonic()
        if self._monotonic() - self._since < _SETTLE_S:
            return CheckResult("settling", "Venues deliver; the first snapshots are on their way.")
        self.is_settled = True
        return CheckResult()


snapshots_check: Final = SnapshotsCheck()
venues_check: Final = VenuesCheck()
MARKET_CHECKS: Final = (
    Check("snapshots", snapshots_check),
    Check("backfill", check_backfill),
    Check("venues", venues_check),
)
ALL_CHECKS: Final = (Check("serving", check_draining), *CORE_CHECKS, *MARKET_CHECKS)
