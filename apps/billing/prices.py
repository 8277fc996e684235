"""Prices follow plan rows: what staff set is what Stripe charges."""

from __future__ import annotations

from decimal import Decimal

from django.db import transaction

from apps.billing.client import stripe_client
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


def plan_of_price(price_id: str) -> Plan | None:
    """The plan that a price, also one of the past, stands for."""
    found = PlanPrice.objects.select_related("plan").filter(price_id=price_id).first()
    return None if found is None else found.plan
