"""The plans the product starts with; from then on they are rows that staff edit, never overwritten."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from apps.tiers.models import Plan

_WITHOUT_API: Final[dict[str, Any]] = {
    "price_usd_month": Decimal(0),
    "layers": [],
    "quota_day": 0,
    "quota_month": 0,
    "rate_per_minute": 0,
    "max_keys": 0,
    "usage_log_days": 30,
}
PLANS: Final[tuple[dict[str, Any], ...]] = (
    {"slug": "free", "name": "Free", "sort_order": 10, **_WITHOUT_API},
    {"slug": "plus", "name": "Plus", "sort_order": 20, **_WITHOUT_API},
    {
        "slug": "pro",
        "name": "Pro",
        "sort_order": 30,
        "price_usd_month": Decimal(100),
        "layers": ["L1"],
        "quota_day": 25_000,
        "quota_month": 750_000,
        "rate_per_minute": 40,
        "max_keys": 3,
        "usage_log_days": 90,
    },
    {
        "slug": "enterprise",
        "name": "Enterprise",
        "sort_order": 40,
        "price_usd_month": Decimal(500),
        "layers": ["L1", "L2", "L3", "L4"],
        "quota_day": 200_000,
        "quota_month": 6_000_000,
        "rate_per_minute": 300,
        "max_keys": 10,
        "has_websocket": True,
        "max_subscriptions_per_socket": 500,
        "max_sockets": 20,
        "usage_log_days": 365,
    },
)


def plans_ensure(*, using: str = "default") -> list[Plan]:
    """Create the plans that are missing; leave the others as staff made them."""
    plans = Plan.objects.using(using)
    return [plans.get_or_create(slug=fields["slug"], defaults=fields)[0] for fields in PLANS]
