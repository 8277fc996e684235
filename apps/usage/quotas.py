"""Telling customers that 80 % or all of a quota is used: a letter and an event, once per period."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any, Final

from django.db import IntegrityError, transaction
from redis.exceptions import RedisError

from apps.accounts.letters import letter_send
from apps.accounts.models import Account
from apps.core.control import control_send
from apps.core.happenings import tell
from apps.core.logs import get_logger
from apps.core.redis import decisive_redis
from apps.tiers.limits import AUTH_PREFIX
from apps.tiers.periods import day_start, month_start
from apps.usage.models import QuotaNotice

STEPS: Final = (100, 80)
_BATCH: Final = 500
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class QuotaState:
    """How much of one quota an account has used."""

    account: Account
    period: str
    period_start: date
    used: int
    limit: int

    @property
    def step(self) -> int | None:
        """The highest step reached; None below the first."""
        return next((step for step in STEPS if self.used * 100 >= step * self.limit), None)


def quota_notices_send(environment: str, now: datetime) -> int:
    """Look at every account's counters in Redis and tell who has reached a step; how many were told."""
    told = 0
    accounts = Account.objects.filter(plan__quota_day__gt=0).select_related("plan").order_by("pk")
    batch: list[Account] = []
    for account in accounts.iterator(chunk_size=_BATCH):
        batch.append(account)
        if len(batch) == _BATCH:
            told += _notify(_states(batch, environment, now), environment)
            batch = []
    return told + _notify(_states(batch, environment, now), environment)


def _states(accounts: list[Account], environment: str, now: datetime) -> Iterable[QuotaState]:
    day_number = int(now.timestamp()) // 86_400
    names: list[str] = []
    for account in accounts:
        owner = f"{account.pk}:{environment}"
        names.append(f"{AUTH_PREFIX}day:{owner}:{day_number}")
        names.append(f"{AUTH_PREFIX}month:{owner}:{now:%Y%m}")
    client: Any = decisive_redis()
    counts = [int(raw or 0) for raw in client.mget(names)] if names else []
    for number, account in enumerate(accounts):
        day, month = counts[2 * number : 2 * number + 2]
        yield QuotaState(account, "day", day_start(now).date(), day, account.plan.quota_day)
        yield QuotaState(account, "month", month_start(now).date(), month, account.plan.quota_month)


def _notify(states: Iterable[QuotaState], environment: str) -> int:
    steps = ((state, state.step) for state in states)
    return sum(_tell_once(state, step, environment) for state, step in steps if step is not None)


def _tell_once(state: QuotaState, step: int, environment: str) -> bool:
    try:
        with transaction.atomic():
            notice = QuotaNotice.objects.create(
                account=state.account,
                environment=environment,
                period=state.period,
                period_start=state.period_start,
                percent=step,
            )
            facts = {
                "period": state.period,
                "percent": step,
                "used": state.used,
                "limit": state.limit,
                "environment": environment,
            }
            letter_send(state.account, "quota", **facts)
            event_id = f"usage.quota:{notice.pk}"
            tell("usage.quota", account_id=state.account.pk, event_id=event_id, data=facts)
            if step == STEPS[0]:
                transaction.on_commit(partial(_sockets_end, state.account.pk))
    except IntegrityError:
        return False
    return True


def _sockets_end(account_id: int) -> None:
    """Open sockets are told and closed by every web process."""
    try:
        control_send("quota_suspended", account_id=account_id)
    except (RedisError, OSError) as error:
        _log.warning("quota_sockets_left", account_id=account_id, error=type(error).__name__)
