"""Prices follow plan rows: what staff set is what Stripe charges."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction

from apps.billing.client import reference_id, stripe_client
from apps.billing.models import PlanPrice
from apps.tiers.models import Plan


@transaction.atomic
def price_ensure(plan: Plan) -> PlanPrice:
    """The current price of a plan; made in Stripe when there is none, or the row's price has changed."""
    locked = Plan.objects.select_for_update().get(pk=plan.pk)
    return _price(locked, cents_of(locked.price_usd_month), is_current=True)


@transaction.atomic
def price_of_amount(plan: Plan, cents: int) -> PlanPrice:
    """The plan at this price: the current one, or one for those who were promised it."""
    locked = Plan.objects.select_for_update().get(pk=plan.pk)
    return _price(locked, cents, is_current=cents == cents_of(locked.price_usd_month))


def cents_of(usd: Decimal) -> int:
    return int(usd * Decimal(100))


def _price(plan: Plan, cents: int, *, is_current: bool) -> PlanPrice:
    """While the plan's row is locked."""
    held = PlanPrice.objects.filter(plan=plan)
    wanted = held.filter(amount_cents=cents)
    found = wanted.filter(is_current=True) if is_current else wanted.order_by("-pk")
    if (known := found.first()) is not None:
        return known
    newest = held.order_by("-is_current", "-pk").first()
    product_id = newest.product_id if newest is not None else _product(plan)
    # A worker that died before it wrote this down gets the same one again.
    key = f"focsal-{settings.MARKET}-price-{product_id}-{cents}-{newest.pk if newest else 0}"
    price = stripe_client().v1.prices.create(
        params={
            "product": product_id,
            "currency": "usd",
            "unit_amount": cents,
            "recurring": {"interval": "month"},
            "metadata": {"plan": plan.slug},
        },
        options={"idempotency_key": key},
    )
    if is_current:
        held.filter(is_current=True).update(is_current=False)
    return PlanPrice.objects.create(
        plan=plan,
        product_id=product_id,
        price_id=price.id,
        amount_cents=cents,
        is_current=is_current,
    )


def _product(plan: Plan) -> str:
    product = stripe_client().v1.products.create(
        params={"name": f"FOCSAL {plan.name}", "metadata": {"plan": plan.slug}}
    )
    return product.id


def plan_of_price(price: Mapping[str, Any]) -> Plan | None:
    """The plan of a price: ours, one of the past, or one that staff agreed on for the plan's product."""
    ours = PlanPrice.objects.select_related("plan")
    found = ours.filter(price_id=price["id"]).first()
    if found is None:
        found = ours.filter(product_id=reference_id(price.get("product")) or "none").first()
    return None if found is None else found.plan
