"""Periodic work on keys."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from apps.keys.enforcement import keys_enforce


@shared_task(name="keys.enforce")
def enforce() -> None:
    keys_enforce(timezone.now())
