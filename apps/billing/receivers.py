"""Stripe writes to the address that the customer signs in with, and charges what was announced."""

from __future__ import annotations

from functools import partial
from typing import Any

import stripe
from allauth.account.signals import email_changed
from django.db import transaction

from apps.accounts.models import User
from apps.accounts.plan_changes import announced
from apps.billing.client import stripe_client
from apps.billing.models import BillingCustomer
from apps.billing.price_moves import price_change_announced
from apps.core.logs import get_logger

_log = get_logger(__name__)


def address_changed(user: User, **_: Any) -> None:
    if user.account_id is None:
        return
    customer = BillingCustomer.objects.filter(account_id=user.account_id, deleted_at=None).first()
    if customer is not None:
        transaction.on_commit(partial(_tell, customer.stripe_id, user.email), robust=True)


def _tell(stripe_id: str, email: str) -> None:
    try:
        stripe_client().v1.customers.update(stripe_id, {"email": email})
    except stripe.StripeError as error:
        _log.error("customer_address_left", customer=stripe_id, error=type(error).__name__)


def connect() -> None:
    email_changed.connect(address_changed, dispatch_uid="billing.address_changed")
    announced.connect(price_change_announced, dispatch_uid="billing.price_change_announced")
