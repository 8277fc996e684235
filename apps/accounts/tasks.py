"""Periodic work on accounts."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from apps.accounts.letters import letters_forget, letters_send
from apps.accounts.plan_changes import plan_changes_apply


@shared_task(name="accounts.apply_plan_changes")
def apply_plan_changes() -> None:
    plan_changes_apply(timezone.now())


@shared_task(name="accounts.letters")
def letters() -> None:
    """What the mail server did not take at once, or was too much for it."""
    letters_send(timezone.now())
    letters_forget(timezone.now())
