"""What billing says about a person, and how what they pay ends with the account."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import transaction

from apps.accounts.models import Account, User
from apps.billing.customers import customer_forget
from apps.billing.models import (
    BillingCustomer,
    BillingInvoice,
    BillingSubscription,
    RevealLink,
)


def billing_exported(user: User) -> dict[str, Any]:
    if user.account_id is None:
        return {}
    account = {"account_id": user.account_id}
    return {
        "customers": _rows(BillingCustomer, account, "stripe_id", "tax_ids", "created_at"),
        "subscriptions": _rows(
            BillingSubscription,
            account,
            *("stripe_id", "status", "plan__slug", "current_period_end", "trial_end", "ended_at"),
        ),
        "invoices": _rows(
            BillingInvoice,
            account,
            *("number", "status", "currency", "amount_due_cents", "amount_paid_cents"),
            *("refunded_cents", "hosted_url", "issued_at"),
        ),
        "key_links": _rows(RevealLink, account, "created_at", "mailed_at", "revealed_at"),
    }


def _rows(model: Any, account: dict[str, int], *fields: str) -> list[dict[str, Any]]:
    return list(model.objects.filter(**account).values(*fields))


def billing_erased(account: Account) -> None:
    """Numbers and amounts of invoices stay, as bookkeeping law wants; what names a person goes.

    The customer in Stripe is deleted once this is committed, or by the hourly work when Stripe is away:
    that ends the subscriptions, so that nobody pays for a closed account.
    """
    RevealLink.objects.filter(account=account).update(secret_encrypted=None, token_sha256=None)
    BillingInvoice.objects.filter(account=account).update(hosted_url="", pdf_url="")
    BillingCustomer.objects.filter(account=account).update(tax_ids=[])
    for customer in BillingCustomer.objects.filter(account=account, deleted_at=None):
        transaction.on_commit(partial(customer_forget, customer), robust=True)
