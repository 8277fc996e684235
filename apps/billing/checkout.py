"""Ways into Stripe: buy a plan, change it, manage the rest in the portal."""

from __future__ import annotations

from typing import Any, Final, cast

from django.conf import settings
from django.db import transaction

from apps.accounts.models import Account, User
from apps.billing.client import plain, stripe_client
from apps.billing.models import BillingCustomer, BillingSubscription
from apps.billing.prices import price_ensure
from apps.core.errors import FocsalError
from apps.tiers.models import Plan

LIVE: Final = ("active", "trialing", "past_due")


class PlanNotForSale(FocsalError):
    code, status, title = "invalid_parameter", 400, "Plan not for sale"


def plan_for_sale(slug: str) -> Plan:
    """Raises ``PlanNotForSale`` for a plan that is hidden, free or not there."""
    plan = Plan.objects.filter(slug=slug[:50], is_public=True, price_usd_month__gt=0).first()
    if plan is None or plan.max_keys == 0:
        offers = Plan.objects.filter(is_public=True, price_usd_month__gt=0, max_keys__gt=0)
        names = ", ".join(offers.values_list("slug", flat=True))
        raise PlanNotForSale(
            f"plan: expected one of {names}, received {slug[:50]!r}.", param="plan"
        )
    return plan


def live_subscription(account: Account) -> BillingSubscription | None:
    return BillingSubscription.objects.filter(account=account, status__in=LIVE).first()


@transaction.atomic
def customer_ensure(account: Account, user: User) -> BillingCustomer:
    """The account in Stripe, made once: the account's row is locked and Stripe's key is idempotent."""
    Account.objects.select_for_update().get(pk=account.pk)
    held = BillingCustomer.objects.filter(account=account).first()
    if held is not None:
        return held
    made = stripe_client().v1.customers.create(
        params={
            "email": user.email,
            "name": account.name,
            "metadata": {"account_id": str(account.pk)},
        },
        options={"idempotency_key": f"focsal-{settings.MARKET}-customer-{account.pk}"},
    )
    return BillingCustomer.objects.create(account=account, stripe_id=made.id)


def checkout_url(account: Account, user: User, plan: Plan) -> str:
    """Where to pay. Who has a subscription already changes it instead (``plan_change``)."""
    customer = customer_ensure(account, user)
    price = price_ensure(plan)
    subscription_data: dict[str, Any] = {"metadata": {"account_id": str(account.pk)}}
    if settings.BILLING_TRIAL_DAYS and not BillingSubscription.objects.filter(account=account):
        subscription_data["trial_period_days"] = settings.BILLING_TRIAL_DAYS
    back = f"{settings.PUBLIC_BASE_URL}/account/billing/"
    params: dict[str, Any] = {
        "mode": "subscription",
        "customer": customer.stripe_id,
        "client_reference_id": str(account.pk),
        "line_items": [{"price": price.price_id, "quantity": 1}],
        "subscription_data": subscription_data,
        "tax_id_collection": {"enabled": True},
        "customer_update": {"name": "auto", "address": "auto"},
        "success_url": f"{back}?paid=1",
        "cancel_url": f"{back}?cancelled=1",
    }
    session = stripe_client().v1.checkout.sessions.create(params=cast(Any, params))
    return str(session.url)


def plan_change(account: Account, plan: Plan) -> None:
    """Move the running subscription to another plan now; Stripe prorates and tells us by event."""
    held = live_subscription(account)
    if held is None:
        raise PlanNotForSale("Expected a running subscription, found none.", param="plan")
    client = stripe_client()
    current = plain(client.v1.subscriptions.retrieve(held.stripe_id))
    item = current["items"]["data"][0]
    client.v1.subscriptions.update(
        held.stripe_id,
        params={
            "items": [{"id": item["id"], "price": price_ensure(plan).price_id}],
            "proration_behavior": "create_prorations",
            "cancel_at_period_end": False,
        },
    )


def portal_url(account: Account, user: User) -> str:
    session = stripe_client().v1.billing_portal.sessions.create(
        params={
            "customer": customer_ensure(account, user).stripe_id,
            "return_url": f"{settings.PUBLIC_BASE_URL}/account/billing/",
        }
    )
    return str(session.url)
