"""Ways into Stripe: buy a plan, change it, manage the rest in the portal."""

from __future__ import annotations

import contextlib
from typing import Any, cast

import stripe
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import Account, User
from apps.billing.client import plain, stripe_client
from apps.billing.customers import MISSING, customer_ensure
from apps.billing.models import BillingCustomer, BillingSubscription
from apps.billing.prices import plan_of_price, price_ensure
from apps.billing.states import LIVE
from apps.core.errors import FocsalError
from apps.tiers.models import Plan


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
    """The one that pays for the plan, as it was when last fetched."""
    live = BillingSubscription.objects.filter(account=account, status__in=LIVE)
    return live.select_related("plan").order_by("-plan__price_usd_month", "pk").first()


@transaction.atomic
def checkout_url(account: Account, user: User, plan: Plan) -> str:
    """Where to pay. Who has a subscription already changes it instead (``plan_change``).

    A checkout that was opened before is closed, so that two tabs do not buy twice.
    """
    Account.objects.select_for_update().get(pk=account.pk)
    customer = customer_ensure(account, user)
    try:
        _close_open_checkouts(customer)
        return _session_url(account, customer, plan)
    except stripe.InvalidRequestError as error:
        if error.code != MISSING:
            raise
        # Deleted in Stripe, and we were not told yet.
        BillingCustomer.objects.filter(pk=customer.pk).update(deleted_at=timezone.now())
        return _session_url(account, customer_ensure(account, user), plan)


def _close_open_checkouts(customer: BillingCustomer) -> None:
    sessions = stripe_client().v1.checkout.sessions
    for session in sessions.list({"customer": customer.stripe_id, "status": "open"}).data:
        # One that is being paid this moment is refused: what comes of it is put in order afterwards.
        with contextlib.suppress(stripe.InvalidRequestError):
            sessions.expire(session.id)


def _session_url(account: Account, customer: BillingCustomer, plan: Plan) -> str:
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
    """Move the running subscription to another plan now; Stripe prorates and tells us by event.

    What a dearer plan costs more is paid at once, or the change does not happen (``stripe.CardError``);
    what a cheaper one costs less is credited to the next invoice.
    """
    held = live_subscription(account)
    if held is None:
        raise PlanNotForSale("Expected a running subscription, found none.", param="plan")
    client = stripe_client()
    current = plain(client.v1.subscriptions.retrieve(held.stripe_id))
    items = current["items"]["data"]
    item = next((one for one in items if plan_of_price(one["price"]) is not None), items[0])
    is_dearer = held.plan is None or plan.price_usd_month > held.plan.price_usd_month
    params: dict[str, Any] = {
        "items": [{"id": item["id"], "price": price_ensure(plan).price_id}],
        "proration_behavior": "always_invoice" if is_dearer else "create_prorations",
        "cancel_at_period_end": False,
    }
    if is_dearer:
        params["payment_behavior"] = "error_if_incomplete"
    client.v1.subscriptions.update(held.stripe_id, params=cast(Any, params))


def portal_url(account: Account, user: User) -> str:
    session = stripe_client().v1.billing_portal.sessions.create(
        params={
            "customer": customer_ensure(account, user).stripe_id,
            "return_url": f"{settings.PUBLIC_BASE_URL}/account/billing/",
        }
    )
    return str(session.url)
