"""What billing says about a person, and how a subscription ends with the account."""

from __future__ import annotations

from typing import Any

import stripe

from apps.accounts.models import Account, User
from apps.billing.checkout import LIVE
from apps.billing.client import stripe_client
from apps.billing.models import BillingInvoice, BillingSubscription, RevealLink
from apps.core.logs import get_logger

_log = get_logger(__name__)


def billing_exported(user: User) -> dict[str, Any]:
    if user.account_id is None:
        return {}
    invoices = BillingInvoice.objects.filter(account_id=user.account_id)
    subscriptions = BillingSubscription.objects.filter(account_id=user.account_id)
    return {
        "subscriptions": list(subscriptions.values("stripe_id", "status", "current_period_end")),
        "invoices": list(invoices.values("number", "status", "amount_paid_cents", "issued_at")),
    }


def billing_erased(account: Account) -> None:
    """Cancel what runs. Invoices stay, as bookkeeping law wants."""
    RevealLink.objects.filter(account=account).update(secret_encrypted=None)
    for held in BillingSubscription.objects.filter(account=account, status__in=LIVE):
        try:
            stripe_client().v1.subscriptions.cancel(held.stripe_id)
        except stripe.StripeError as error:
            # The hourly reconciliation shows it to staff; forgetting a person must not wait for Stripe.
            _log.error("cancel_failed", subscription=held.stripe_id, error=type(error).__name__)
