"""Keys follow their account and plan, whoever saves those: a service, the admin, a shell."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models.signals import post_save

from apps.accounts.models import Account
from apps.keys.models import ApiKey
from apps.keys.services import keys_follow_plan, keys_touch
from apps.tiers.models import Plan


def account_saved(
    instance: Account,
    created: bool,
    raw: bool = False,
    update_fields: Collection[str] | None = None,
    **_: Any,
) -> None:
    if created or raw or (update_fields is not None and "plan" not in update_fields):
        return
    keys_follow_plan(account_id=instance.pk, plan=instance.plan)


def plan_saved(instance: Plan, created: bool, raw: bool = False, **_: Any) -> None:
    if not created and not raw:
        keys_touch(keys=ApiKey.objects.filter(account__plan=instance), event="plan_changed")


def connect() -> None:
    post_save.connect(account_saved, sender=Account, dispatch_uid="keys.account_saved")
    post_save.connect(plan_saved, sender=Plan, dispatch_uid="keys.plan_saved")
