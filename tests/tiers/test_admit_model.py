"""The script against a slow model that knows nothing of Redis: random clocks, costs, layers and tags."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core.redis import sync_redis
from apps.tiers.admission import Admission
from apps.tiers.fallback import LocalGate, QuotaUse
from apps.tiers.key_record import KeyRecord
from apps.tiers.limits import SENTINEL, SyncLimiter
from tests.customers import admission_request, clear_redis
from tests.tiers.records import KEY, record, write_record

# Starts shortly before the end of a leap-year February, so that days and months turn over.
START_US = int(datetime(2028, 2, 28, 23, 58, tzinfo=UTC).timestamp()) * 1_000_000


@dataclass(frozen=True)
class Step:
    gap_us: int
    cost: int
    layer: str


@dataclass
class Model:
    """Lists and sums, recomputed from scratch at every step."""

    rate: int
    quota_day: int
    quota_month: int
    entered: list[int] = field(default_factory=list)
    charges: list[tuple[int, int]] = field(default_factory=list)

    def step(self, now_us: int, step: Step) -> tuple[Any, ...]:
        window = [ts for ts in self.entered if now_us - ts < 60_000_000]
        moment = datetime.fromtimestamp(now_us // 1_000_000, tz=UTC)
        used: dict[str, int] = defaultdict(int)
        for ts, cost in self.charges:
            then = datetime.fromtimestamp(ts // 1_000_000, tz=UTC)
            used["month"] += cost * (f"{then:%Y%m}" == f"{moment:%Y%m}")
            used["day"] += cost * (then.date() == moment.date())
        cost = step.cost if step.layer == "L1" else 1
        left = (max(0, self.quota_day - used["day"]), max(0, self.quota_month - used["month"]))
        if len(window) >= self.rate:
            wait_us = min(window) + 60_000_000 - now_us
            return ("rate_limited", 0, *left, 0, -(-wait_us // 1_000_000))
        for quota, limit, wait_s in (
            ("month", self.quota_month, _to_next_month(moment)),
            ("day", self.quota_day, 86_400 - (now_us // 1_000_000) % 86_400),
        ):
            if used[quota] + cost > limit:
                return ("quota_exceeded", self.rate - len(window), *left, 0, wait_s)
        self.entered.append(now_us)
        self.charges.append((now_us, cost))
        outcome = "admitted" if step.layer == "L1" else "tier_required"
        left = (self.quota_day - used["day"] - cost, self.quota_month - used["month"] - cost)
        return (outcome, self.rate - len(window) - 1, *left, cost, None)


def _to_next_month(moment: datetime) -> int:
    year, month = divmod(moment.year * 12 + moment.month, 12)
    return int((datetime(year, month + 1, 1, tzinfo=UTC) - moment).total_seconds())


def shown(admission: Admission) -> tuple[Any, ...]:
    return (
        admission.outcome.value,
        admission.remaining,
        admission.day_remaining,
        admission.month_remaining,
        admission.charged,
        admission.retry_after_s,
    )


STEPS = st.lists(
    st.builds(
        Step,
        gap_us=st.one_of(
            st.integers(0, 100),
            st.integers(0, 40_000_000),
            st.just(60_000_000),
            st.just(59_999_999),
            st.integers(0, 86_400_000_000),
            st.integers(0, 40 * 86_400_000_000),
        ),
        cost=st.integers(1, 8),
        layer=st.sampled_from(["L1", "L1", "L1", "L2"]),
    ),
    min_size=1,
    max_size=25,
)
LIMITS = st.tuples(st.integers(1, 6), st.integers(0, 30), st.integers(0, 60))
_SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _record(rate: int, quota_day: int, more: int) -> KeyRecord:
    return record(rate_per_minute=rate, quota_day=quota_day, quota_month=quota_day + more)


@_SETTINGS
@given(steps=STEPS, limits=LIMITS)
def test_the_script_decides_like_the_model(steps: list[Step], limits: tuple[int, int, int]) -> None:
    clear_redis()
    sync_redis().set(SENTINEL, "g1")
    entry = _record(*limits)
    write_record(entry)
    limiter = SyncLimiter(sync_redis())
    model = Model(entry.rate_per_minute, entry.quota_day, entry.quota_month)
    now_us = START_US
    for step in steps:
        now_us += step.gap_us
        asked = admission_request(KEY, now_us=now_us, cost=step.cost, layer=step.layer)
        assert shown(limiter.admit(asked)) == model.step(now_us, step)
    clear_redis()


@_SETTINGS
@given(steps=STEPS, limits=LIMITS)
def test_the_local_fallback_decides_like_the_model(
    steps: list[Step], limits: tuple[int, int, int]
) -> None:
    entry = _record(*limits)
    spooled: list[dict[str, Any]] = []
    gate = LocalGate(
        lambda _: entry, lambda *_: QuotaUse(0, 0), spooled.append, monotonic=lambda: 0.0
    )
    model = Model(entry.rate_per_minute, entry.quota_day, entry.quota_month)
    now_us = START_US
    for step in steps:
        now_us += step.gap_us
        asked = admission_request(KEY, now_us=now_us, cost=step.cost, layer=step.layer)
        assert shown(gate.admit(asked)) == model.step(now_us, step)
    assert [event["c"] for event in spooled] == [cost for _, cost in model.charges]
