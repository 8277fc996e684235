"""Reads. Each names the account that asks."""

from __future__ import annotations

from typing import Final

from django.db.models import QuerySet

from apps.alerts.models import AlertFire, AlertRule, Delivery, Webhook

MAX_DELIVERIES: Final = 100
MAX_FIRES: Final = 20


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


def rules_of(account_id: int) -> QuerySet[AlertRule]:
    return AlertRule.objects.filter(account_id=account_id)


def rule_of(account_id: int, rule_id: int) -> AlertRule | None:
    return rules_of(account_id).filter(pk=rule_id).select_related("account__plan").first()


def fires_of_rule(rule: AlertRule) -> QuerySet[AlertFire]:
    return AlertFire.objects.filter(rule=rule)[:MAX_FIRES]


def fires_of_account(account_id: int) -> QuerySet[AlertFire]:
    """The last twenty of all rules."""
    found = AlertFire.objects.filter(rule__account_id=account_id).select_related("rule")
    return found[:MAX_FIRES]
