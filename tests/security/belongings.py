"""A customer with one of everything an account can own, all of it marked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import orjson
from axes.models import AccessAttempt
from django.apps import apps
from django.core.cache import cache
from django.utils import timezone

from apps.accounts.letters import PATIENCE
from apps.accounts.models import Letter
from apps.accounts.services import email_mark_verified
from apps.alerts.events import event_record
from apps.alerts.models import AlertFire, AlertRule, Delivery, IdempotencyRecord
from apps.alerts.webhooks import webhook_create
from apps.billing.models import BillingCustomer, BillingInvoice, BillingSubscription
from apps.billing.reveal import reveal_prepare
from apps.core.sealing import seal
from apps.keys.services import key_create, records_sync
from apps.stream.sessions import PREFIX, sessions_key
from apps.usage.events import AdmissionEvent
from apps.usage.models import QuotaNotice
from apps.usage.store import usage_store
from tests.customers import Customer, make_customer

MARK: Final = "zanzibar"
TOKEN: Final = "zanzibar-token-of-a-link"
SESSION: Final = "ses_zanzibar"
NETWORK: Final = "203.0.113.77/32"
CONDITION: Final = {
    "metric": "markets.funding",
    "asset": "BTC",
    "field": "aggregate.value",
    "op": ">",
    "value": 0.0123,
}


@dataclass(frozen=True)
class Owner:
    customer: Customer
    values: dict[str, Any]
    """By the names that addresses use."""
    secrets: tuple[str, ...]


def make_owner(redis: Any) -> Owner:
    cache.clear()
    customer = make_customer("enterprise", MARK)
    user, account = customer.user, customer.account
    user.first_name = MARK
    user.save()
    email_mark_verified(user)
    created = key_create(
        account=account,
        name=f"{MARK} key",
        environment="test",
        created_by=user,
        allowed_ips=[NETWORK],
    )
    records_sync(key_ids=[created.key.pk])
    link = reveal_prepare(account, created, timezone.now())
    link.token_sha256 = hashlib.sha256(TOKEN.encode()).hexdigest()
    link.mailed_at = timezone.now()
    link.save()
    hook = webhook_create(account, {"name": f"{MARK} hook", "url": f"https://{MARK}.example.com/h"})
    rule = AlertRule.objects.create(account=account, name=f"{MARK} rule", condition=CONDITION)
    AlertFire.objects.create(rule=rule, at=timezone.now(), event_id=f"evt_{MARK}", values=[])
    event_record(
        account,
        "usage.quota",
        event_id=f"evt_{MARK}2",
        data={"period": "day", "percent": 80, "used": 8, "limit": 10, "environment": MARK},
    )
    delivery = Delivery.objects.get(webhook=hook.webhook)
    IdempotencyRecord.objects.create(
        account=account,
        key=f"{MARK}-once",
        request_sha256="0" * 64,
        status_code=201,
        answer_sealed=seal(MARK, "answer to a repeated request"),
    )
    now_us = int(timezone.now().timestamp() * 1_000_000)
    usage_store(
        [
            AdmissionEvent(
                f"{now_us}-0", now_us, f"req_{MARK}", account.pk, customer.key.pk,
                "test", "sandbox", "markets.funding", "GET", f"/v1/{MARK}", "asset=BTC", 1,
            )
        ],
        [],
    )  # fmt: skip
    Letter.objects.create(
        account=account,
        recipient=user.email,
        name="usage_quota",
        subject=f"Quota of {MARK}",
        body=f"{MARK} has used four fifths of its calls.",
        next_attempt_at=timezone.now(),
        give_up_at=timezone.now() + PATIENCE,
    )
    QuotaNotice.objects.create(
        account=account,
        environment="test",
        period="day",
        period_start=timezone.now().date(),
        percent=80,
    )
    BillingCustomer.objects.create(
        account=account, stripe_id=f"cus_{MARK}", tax_ids=[{"type": "eu_vat", "value": f"PL{MARK}"}]
    )
    BillingSubscription.objects.create(
        account=account,
        stripe_id=f"sub_{MARK}",
        status="canceled",
        plan=account.plan,
        fetched_at=timezone.now(),
    )
    BillingInvoice.objects.create(
        account=account,
        stripe_id=f"in_{MARK}",
        number=f"{MARK}-1",
        status="paid",
        currency="usd",
        amount_due_cents=10_000,
        amount_paid_cents=10_000,
        hosted_url=f"https://invoice.example.com/{MARK}",
        issued_at=timezone.now() - timedelta(days=1),
    )
    AccessAttempt.objects.create(
        username=user.email.casefold(), ip_address="203.0.113.77", failures_since_start=1
    )
    socket = {"id": SESSION, "key_id": customer.key.pk, "connected_at": "2026-01-01T00:00:00Z"}
    redis.set(f"{PREFIX}process:{MARK}", b"1", px=60_000)
    redis.hset(sessions_key(account.pk), SESSION, f"{MARK}|".encode() + orjson.dumps(socket))
    values = {
        "key_id": created.key.pk,
        "webhook_id": hook.webhook.pk,
        "delivery_id": delivery.pk,
        "rule_id": rule.pk,
        "token": TOKEN,
        "session_id": SESSION,
        # Of nobody: public pages, and a reset link that was never sent.
        "slug": "funding",
        "uidb36": "1",
        "key": "abc-123",
    }
    secrets = (customer.plaintext, created.plaintext, hook.secret, customer.key.sha256)
    return Owner(customer, values, secrets)


def state_of(account_id: int) -> dict[str, list[dict[str, Any]]]:
    """Every row that points at the account, over at most two steps; to see that nobody touched it."""
    found = {}
    for model in apps.get_models():
        for field in model._meta.get_fields():
            to: Any = getattr(field, "related_model", None)
            if not field.concrete or to is None or to._meta.label != "accounts.Account":
                continue
            rows = model._default_manager.filter(**{field.name: account_id}).order_by("pk")
            found[model._meta.label] = [dict(row) for row in rows.values()]
    return found
