"""Celery. Schedules live in the database (django-celery-beat) so that staff can edit them."""

from __future__ import annotations

from typing import Any

from kombu import Exchange, Queue

from focsal.settings.data import REDIS_CELERY_URL
from focsal.settings.market import MARKET

CELERY_BROKER_URL = REDIS_CELERY_URL
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_DEFAULT_QUEUE = f"focsal-{MARKET}"
# What concerns accounts has workers of its own (``celery worker --accounts``): it never waits for the market.
CELERY_ACCOUNTS_QUEUE = f"focsal-{MARKET}-accounts"
CELERY_TASK_QUEUES = [
    Queue(name, Exchange(name), routing_key=name)
    for name in (CELERY_TASK_DEFAULT_QUEUE, CELERY_ACCOUNTS_QUEUE)
]
# 0 goes first: who has paid waits for nothing that was queued before.
# By routes alone: a default priority would overrule them.
CELERY_TASK_ROUTES = {
    "billing.process": {"queue": CELERY_ACCOUNTS_QUEUE, "priority": 0},
    **{
        f"{name}.*": {"queue": CELERY_ACCOUNTS_QUEUE, "priority": 6}
        for name in ("accounts", "alerts", "billing", "keys", "usage")
    },
    "*": {"priority": 6},
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "global_keyprefix": f"focsal:{MARKET}:celery:",
    "visibility_timeout": 600,
}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "snapshots-tick": {
        "task": "snapshots.tick",
        "schedule": 2.0,
        "options": {"expires": 10},
    },
    "usage-drain": {
        "task": "usage.drain",
        "schedule": 2.0,
        "options": {"expires": 10},
    },
    "keys-enforce": {
        "task": "keys.enforce",
        "schedule": 30.0,
        "options": {"expires": 30},
    },
    "usage-quota-notices": {
        "task": "usage.quota_notices",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "billing-process": {
        "task": "billing.process",
        "schedule": 5.0,
        "options": {"expires": 10, "priority": 0},
    },
    "alerts-deliver": {
        "task": "alerts.deliver",
        "schedule": 5.0,
        "options": {"expires": 5},
    },
    "alerts-look": {
        "task": "alerts.look",
        "schedule": 2.0,
        "options": {"expires": 5},
    },
    "alerts-forget": {
        "task": "alerts.forget",
        "schedule": 300.0,
        "options": {"expires": 300},
    },
    "billing-reconcile": {
        "task": "billing.reconcile",
        "schedule": 3600.0,
    },
    "billing-prices": {
        "task": "billing.prices",
        "schedule": 600.0,
        "options": {"expires": 600},
    },
    "accounts-letters": {
        "task": "accounts.letters",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "accounts-plan-changes": {
        "task": "accounts.apply_plan_changes",
        "schedule": 600.0,
    },
    "marketdata-partitions": {
        "task": "marketdata.maintain_partitions",
        "schedule": 3600.0,
    },
    "usage-partitions": {
        "task": "usage.maintain_partitions",
        "schedule": 3600.0,
    },
}
