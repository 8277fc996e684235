"""Hourly: everything that Stripe has of our customers, and grace periods that ran out."""

from __future__ import annotations

from datetime import datetime

import stripe

from apps.billing.client import stripe_client
from apps.billing.models import BillingCustomer, BillingSubscription
from apps.billing.sync import entitlement_apply, invoice_sync, subscription_sync
from apps.core.logs import get_logger

_log = get_logger(__name__)


def billing_reconcile() -> int:
    """Fetch every customer's subscriptions and newest invoices again; how many objects were looked at."""
    seen = 0
    for customer in BillingCustomer.objects.order_by("pk").iterator():
        try:
            seen += customer_reconcile(customer)
        except stripe.StripeError as error:
            _log.warning("reconcile_failed", customer=customer.stripe_id, error=str(error)[:200])
    return seen


def customer_reconcile(customer: BillingCustomer) -> int:
    client = stripe_client()
    listed = client.v1.subscriptions.list(
        params={"customer": customer.stripe_id, "status": "all", "limit": 100}
    )
    invoices = client.v1.invoices.list(params={"customer": customer.stripe_id, "limit": 24})
    for subscription in listed.data:
        subscription_sync(subscription.id)
    for invoice in invoices.data:
        if invoice.id:
            invoice_sync(invoice.id)
    return len(listed.data) + len(invoices.data)


def graces_end(now: datetime) -> int:
    """Accounts overdue for longer than the grace lose their plan; how many were looked at."""
    overdue = BillingSubscription.objects.filter(status="past_due").select_related("account")
    for held in overdue:
        entitlement_apply(held.account, now)
    return len(overdue)
