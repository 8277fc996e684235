"""An account as Stripe's customer: made once, followed, and forgotten with the account."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import stripe
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import Account, User
from apps.billing.client import plain, stripe_client
from apps.billing.models import BillingCustomer, BillingSubscription
from apps.billing.states import LIVE
from apps.core.logs import get_logger

MISSING: Final = "resource_missing"
_log = get_logger(__name__)


@transaction.atomic
def customer_ensure(account: Account, user: User) -> BillingCustomer:
    """The account in Stripe, made once: the account's row is locked and Stripe's key is idempotent."""
    Account.objects.select_for_update().get(pk=account.pk)
    held = BillingCustomer.objects.filter(account=account).first()
    if held is not None and held.deleted_at is None:
        return held
    params: Any = {
        "email": user.email,
        "name": account.name,
        "metadata": {"account_id": str(account.pk)},
    }
    # The same for the same words about the same account; who replaces a deleted one is another.
    words = f"{account.pk}|{user.email}|{account.name}|{held.stripe_id if held else ''}"
    digest = hashlib.sha256(words.encode()).hexdigest()[:32]
    made = stripe_client().v1.customers.create(
        params=params, options={"idempotency_key": f"focsal-{settings.MARKET}-customer-{digest}"}
    )
    if held is None:
        return BillingCustomer.objects.create(account=account, stripe_id=made.id)
    held.stripe_id, held.deleted_at, held.tax_ids = made.id, None, []
    held.save(update_fields=["stripe_id", "deleted_at", "tax_ids"])
    return held


def customer_sync(stripe_id: str) -> None:
    """Tax ids, as the customer gave them."""
    held = BillingCustomer.objects.filter(stripe_id=stripe_id, deleted_at=None).first()
    if held is None:
        return
    listed = plain(stripe_client().v1.customers.tax_ids.list(stripe_id))
    held.tax_ids = [{"type": tax["type"], "value": tax["value"]} for tax in listed["data"]]
    held.save(update_fields=["tax_ids"])


def customer_gone(stripe_id: str) -> None:
    """Somebody deleted the customer in Stripe, which ended its subscriptions."""
    from apps.billing.sync import subscription_sync

    held = BillingCustomer.objects.filter(stripe_id=stripe_id).first()
    if held is None:
        return
    BillingCustomer.objects.filter(pk=held.pk, deleted_at=None).update(deleted_at=timezone.now())
    running = BillingSubscription.objects.filter(account_id=held.account_id, status__in=LIVE)
    for subscription_id in running.values_list("stripe_id", flat=True):
        subscription_sync(subscription_id)


def customers_forget() -> int:
    """Delete in Stripe whom closed accounts were there; that ends what they still paid. How many."""
    closed = BillingCustomer.objects.filter(account__closed_at__isnull=False, deleted_at=None)
    return sum(customer_forget(customer) for customer in closed.order_by("pk"))


def customer_forget(customer: BillingCustomer) -> bool:
    """False while Stripe does not answer; it is tried again every hour."""
    try:
        stripe_client().v1.customers.delete(customer.stripe_id)
    except stripe.StripeError as error:
        if getattr(error, "code", None) != MISSING:
            _log.error(
                "customer_not_forgotten", customer=customer.stripe_id, error=type(error).__name__
            )
            return False
    BillingCustomer.objects.filter(pk=customer.pk).update(deleted_at=timezone.now())
    ended = BillingSubscription.objects.filter(account_id=customer.account_id, status__in=LIVE)
    ended.update(status="canceled", ended_at=timezone.now())
    return True
