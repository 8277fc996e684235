"""Hourly: everything that Stripe has of our customers, and grace periods that ran out."""

from __future__ import annotations

from datetime import datetime

import stripe
from django.db import transaction

from apps.accounts.models import Account
from apps.billing.client import plain, stripe_client
from apps.billing.models import BillingCustomer, BillingSubscription
from apps.billing.states import LIVE
from apps.billing.sync import (
    entitlement_apply,
    invoice_keep,
    subscription_keep,
    subscription_sync,
)
from apps.core.logs import get_logger

_log = get_logger(__name__)


def billing_reconcile() -> int:
    """Fetch every customer's subscriptions and newest invoices again; how many objects were looked at."""
    seen = 0
    for customer in BillingCustomer.objects.filter(deleted_at=None).order_by("pk").iterator():
        try:
            seen += customer_reconcile(customer)
        except stripe.APIConnectionError as error:
            # The next ones would wait as long for the same.
            _log.warning("reconcile_stopped", error=type(error).__name__)
            break
        except Exception as error:
            # What is odd about one customer keeps nobody else waiting.
            _log.warning("reconcile_failed", customer=customer.stripe_id, error=str(error)[:200])
    return seen


@transaction.atomic
def customer_reconcile(customer: BillingCustomer) -> int:
    """Lists are fetched while the account's row is locked, so that they are as fresh as single objects."""
    account = Account.objects.select_for_update(of=("self",)).get(pk=customer.account_id)
    client = stripe_client()
    listed = client.v1.subscriptions.list(
        params={"customer": customer.stripe_id, "status": "all", "limit": 100}
    )
    invoices = client.v1.invoices.list(params={"customer": customer.stripe_id, "limit": 24})
    for subscription in listed.data:
        subscription_keep(account, plain(subscription))
    for invoice in invoices.data:
        if invoice.id:
            invoice_keep(account, plain(invoice))
    found = {subscription.id for subscription in listed.data}
    missed = BillingSubscription.objects.filter(account=account, status__in=LIVE)
    for stripe_id in missed.exclude(stripe_id__in=found).values_list("stripe_id", flat=True):
        # Of an earlier customer of this account.
        subscription_sync(stripe_id)
    entitlement_apply(account)
    return len(listed.data) + len(invoices.data)


def graces_end(now: datetime) -> int:
    """Accounts overdue for longer than the grace lose their plan; how many were looked at."""
    overdue = BillingSubscription.objects.filter(status="past_due").select_related("account")
    for held in overdue:
        entitlement_apply(held.account, now)
    return len(overdue)
