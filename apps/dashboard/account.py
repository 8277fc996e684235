"""What the account page shows: plan, keys by their first characters, quotas used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.models import Account
from apps.keys.models import ApiKey
from apps.keys.selectors import keys_of_account
from apps.keys.services import keys_in_use
from apps.tiers.models import Plan
from apps.usage.selectors import quota_used


@dataclass(frozen=True, slots=True)
class QuotaBar:
    """Calls used of a quota; ``limit`` 0 means that the plan has no API."""

    label: str
    used: int
    limit: int

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)

    @property
    def is_high(self) -> bool:
        return self.limit > 0 and self.used >= 0.8 * self.limit


@dataclass(frozen=True, slots=True)
class AccountOverview:
    plan: Plan
    keys: Sequence[ApiKey]
    in_use: int
    environment: str
    bars: tuple[QuotaBar, ...]
    as_of: datetime


def account_overview(account: Account) -> AccountOverview:
    """Everything is read for this account only."""
    now = timezone.now()
    return AccountOverview(
        plan=account.plan,
        keys=list(keys_of_account(account.pk)),
        in_use=keys_in_use(account.pk).filter(environment=settings.KEY_ENVIRONMENT).count(),
        environment=settings.KEY_ENVIRONMENT,
        bars=quota_bars(account, now),
        as_of=now,
    )


def quota_bars(account: Account, now: datetime) -> tuple[QuotaBar, QuotaBar]:
    """Day and month, as far as the log has them."""
    plan = account.plan
    used = quota_used(account_id=account.pk, environment=settings.KEY_ENVIRONMENT, now=now)
    return (
        QuotaBar(_("Today (UTC)"), used.day, plan.quota_day),
        QuotaBar(_("This month (UTC)"), used.month, plan.quota_month),
    )
