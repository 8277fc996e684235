"""Webhooks, deliveries and event types as REST answers them."""

from __future__ import annotations

from typing import Any

from apps.alerts.models import AlertFire, AlertRule, Delivery, Webhook
from apps.alerts.registry import EventType
from apps.core.clock import iso_moment


def webhook(hook: Webhook) -> dict[str, Any]:
    return {
        "id": hook.pk,
        "name": hook.name,
        "url": hook.url_shown,
        "format": hook.format,
        "events": hook.events,
        "assets": hook.assets,
        "is_enabled": hook.is_enabled,
        "disabled_at": iso_moment(hook.disabled_at),
        "disabled_reason": hook.disabled_reason or None,
        "previous_secret_until": iso_moment(hook.previous_until),
        "created_at": iso_moment(hook.created_at),
    }


def delivery(one: Delivery) -> dict[str, Any]:
    event = one.event
    return {
        "id": one.pk,
        "event_id": event.event_id,
        "type": event.type,
        "data": event.data,
        "test": event.is_test,
        "occurred_at": iso_moment(event.occurred_at),
        "status": one.status,
        "attempts": one.attempts,
        "next_attempt_at": iso_moment(one.due_at)
        if one.status == Delivery.Status.PENDING
        else None,
        "delivered_at": iso_moment(one.delivered_at),
        "note": one.note or None,
        "log": [
            {
                "at": iso_moment(attempt.at),
                "status_code": attempt.status_code,
                "error": attempt.error or None,
                "latency_ms": attempt.latency_ms,
            }
            for attempt in one.log.all()
        ],
    }


def event_type(one: EventType) -> dict[str, Any]:
    return {
        "name": one.name,
        "title": one.title,
        "layer": one.layer or None,
        "schema": one.schema,
        "example": one.example,
    }


def rule(one: AlertRule) -> dict[str, Any]:
    return {
        "id": one.pk,
        "name": one.name,
        "condition": one.condition,
        "cooldown_seconds": one.cooldown_s,
        "is_enabled": one.is_enabled,
        "is_true": one.was_true,
        "suppressed": one.suppressed,
        "created_at": iso_moment(one.created_at),
    }


def fire(one: AlertFire) -> dict[str, Any]:
    return {
        "event_id": one.event_id,
        "alert_id": one.rule_id,
        "at": iso_moment(one.at),
        "values": one.values,
    }
