"""The export has a place for every table that points at a person or an account, and deletion empties it."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest
from django.apps import apps
from django.db import router

from apps.accounts.models import Account, User
from apps.accounts.privacy import personal_data, user_forget
from tests.security.belongings import MARK, NETWORK, Owner

pytestmark = pytest.mark.django_db
# Where the export tells of a table, or why it does not.
EXPORTED: Final = {
    "accounts.User": "profile",
    "account.EmailAddress": "profile",
    "mfa.Authenticator": "profile",
    "usersessions.UserSession": "profile",
    "accounts.Letter": "profile",
    "keys.ApiKey": "api_keys",
    "usage.QuotaNotice": "quota_notices",
    "usage.UsageRequest": "usage_log",
    "billing.BillingCustomer": "billing",
    "billing.BillingSubscription": "billing",
    "billing.BillingInvoice": "billing",
    "billing.RevealLink": "billing",
    "alerts.Webhook": "webhooks",
    "alerts.AlertRule": "alerts",
    "alerts.Event": "events",
    "alerts.IdempotencyRecord": "",  # a copy of answers that were given, kept for a day
    "admin.LogEntry": "",  # what staff did; customers do nothing in the admin
}


def test_every_table_has_its_place(owner: Owner) -> None:
    pointing = set()
    for model in apps.get_models():
        for field in model._meta.get_fields():
            to: Any = getattr(field, "related_model", None)
            if field.concrete and not field.many_to_many and to in (User, Account):
                pointing.add(model._meta.label)
    assert pointing == set(EXPORTED)
    data = personal_data(owner.customer.user)
    for label, place in EXPORTED.items():
        if place:
            assert data[place], label
    for place in ("alert_fires", "quota_notices", "events"):
        assert data[place]
    assert data["billing"]["customers"][0]["tax_ids"][0]["value"] == f"PL{MARK}"
    assert data["profile"]["letters_on_their_way"][0]["subject"] == f"Quota of {MARK}"
    assert data["profile"]["wrong_passwords"][0]["ip_address"] == "203.0.113.77"
    assert any(NETWORK in key["allowed_ips"] for key in data["api_keys"])
    text = orjson.dumps(data, default=str).decode()
    assert not [secret for secret in owner.secrets if secret in text]


def test_nothing_names_the_person_afterwards(owner: Owner) -> None:
    email = owner.customer.user.email
    user_forget(owner.customer.user)
    left = []
    for model in apps.get_models():
        if router.db_for_read(model) != "default":
            continue
        for row in model._default_manager.all()[:500].values():
            text = repr({name: value for name, value in row.items() if name != "session_data"})
            if email in text or (MARK in text and model._meta.label not in _KEPT):
                left.append((model._meta.label, text[:300]))
    assert left == []
    account = Account.objects.get(pk=owner.customer.account.pk)
    assert account.closed_at is not None
    assert account.plan.slug == "free"


# Stripe's numbers, and calls as they were made: bookkeeping and the usage log, of an account without a name.
_KEPT: Final = (
    *("billing.BillingCustomer", "billing.BillingSubscription", "billing.BillingInvoice"),
    "usage.UsageRequest",
)
