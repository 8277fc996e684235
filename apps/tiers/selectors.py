"""Reading plans."""

from __future__ import annotations

from apps.tiers.models import Plan


def layer_plans() -> str:
    """The cheapest plan of each layer, ``L1=Pro,L2=Enterprise,…``: what a 403 recommends."""
    cheapest: dict[str, str] = {}
    plans = Plan.objects.filter(rate_per_minute__gt=0).order_by("price_usd_month", "sort_order")
    for name, layers in plans.values_list("name", "layers"):
        for layer in layers:
            cheapest.setdefault(layer, name.replace(",", " ").replace("=", " "))
    return ",".join(f"{layer}={cheapest[layer]}" for layer in sorted(cheapest))


def plan_for(account_id: int) -> Plan:
    """The plan that an account is on."""
    return Plan.objects.get(accounts=account_id)
