"""The 30 days after a downgrade in which the longer usage log of before can still be exported."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models.signals import pre_save
from django.utils import timezone

from apps.accounts.models import Account

EXPORT_WINDOW: Final = timedelta(days=30)


def log_days(account: Account, now: datetime) -> int:
    """How many days of its usage log the account sees."""
    days = account.plan.usage_log_days
    is_open = account.export_until is not None and now < account.export_until
    return max(days, account.export_log_days) if is_open else days


def account_saving(
    instance: Account, raw: bool = False, update_fields: Any = None, **_: Any
) -> None:
    """Open the window when the plan changes to one with a shorter log, whoever changes it."""
    if raw or instance.pk is None or (update_fields is not None and "plan" not in update_fields):
        return
    before = Account.objects.select_related("plan").filter(pk=instance.pk).first()
    if before is None or before.plan_id == instance.plan_id:
        return
    now = timezone.now()
    seen = log_days(before, now)
    if instance.plan.usage_log_days < seen:
        instance.export_log_days, instance.export_until = seen, now + EXPORT_WINDOW
    else:
        instance.export_log_days, instance.export_until = 0, None
    # ``save(update_fields=["plan"])`` would leave the window out.
    Account.objects.filter(pk=instance.pk).update(
        export_log_days=instance.export_log_days, export_until=instance.export_until
    )


def connect() -> None:
    pre_save.connect(account_saving, sender=Account, dispatch_uid="accounts.export_window")
