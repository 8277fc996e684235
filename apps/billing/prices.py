"""Prices follow plan rows: what staff set is what Stripe charges."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.db import transaction

from apps.billing.client import reference_id, stripe_client
from apps.billing.models import PlanPrice
from apps.tiers.models import Plan


@transaction.atomic
def price_ensure(plan: Plan) -> PlanPrice:
    """The current price of a plan; made in Stripe when there is none, or the row's price has changed."""
    locked = Plan.objects.select_for_update().get(pk=plan.pk)
    cents = int(locked.price_usd_month * Decimal(100))
    current = PlanPrice.objects.filter(plan=locked, is_current=True).first()
    if current is not None and current.amount_cents == cents:
        return current
    client = stripe_client()
    product_id = current.product_id if current is not None else _product(locked)
    price = client.v1.prices.create(
        params={
            "product": product_id,
            "currency": "usd",
            "unit_amount": cents,
            "recurring": {"interval": "month"},
            "metadata": {"plan": locked.slug},
        }
    )
    if current is not None:
        current.is_current = False
        current.save(update_fields=["is_current"])
    return PlanPrice.objects.create(
        plan=locked, product_id=product_id, price_id=price.id, amount_cents=cents
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
