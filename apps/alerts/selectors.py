"""Reads. Each names the account that asks."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.alerts.models import Delivery, Webhook

MAX_DELIVERIES = 100


def webhooks_of(account_id: int) -> QuerySet[Webhook]:
    return Webhook.objects.filter(account_id=account_id)


def webhook_of(account_id: int, webhook_id: int) -> Webhook | None:
    return webhooks_of(account_id).filter(pk=webhook_id).first()


def deliveries_of(hook: Webhook) -> QuerySet[Delivery]:
    """The newest ones with their attempts."""
    found = Delivery.objects.filter(webhook=hook).select_related("event").prefetch_related("log")
    return found[:MAX_DELIVERIES]


def delivery_of(hook: Webhook, delivery_id: int) -> Delivery | None:
    return Delivery.objects.filter(webhook=hook, pk=delivery_id).select_related("event").first()
