"""What the landing and pricing pages show: plans as staff set them, layers as they truly stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from django.conf import settings
from django.db import DatabaseError
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.dashboard.streams import socket_url
from apps.marketdata.universe import ASSETS
from apps.marketdata.venues import all_venues
from apps.snapshots import store
from apps.snapshots.registry import all_specs
from apps.tiers.models import Layer, Plan

SAMPLE_METRIC: Final = "markets.funding"
SAMPLE_ASSET: Final = "BTC"

LAYER_TEXTS: Final[dict[str, Promise]] = {
    Layer.L1: _(
        "Funding, open interest, liquidations, basis, candles, positioning and volume flow of 65 assets."
    ),
    Layer.L2: _("Order flow, footprint, liquidity walls and liquidation maps in four modes."),
    Layer.L3: _("Options chain with greeks, volatility surface, skew and gamma on Deribit."),
    Layer.L4: _("Complete, evaluated trade plans from an ensemble of five engines."),
}

_SAMPLE_FIELDS: Final = ("value", "unit", "percentile_30d", "z_score", "interpretation", "samples")


@dataclass(frozen=True, slots=True)
class LayerShown:
    """A layer and the addresses that answer today; without any it is in the making."""

    slug: str
    name: str
    text: Promise
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LayerState:
    slug: str
    name: str
    is_included: bool


@dataclass(frozen=True, slots=True)
class PlanShown:
    """A plan row as a card."""

    slug: str
    name: str
    price_usd_month: float
    quota_day_text: str
    quota_month_text: str
    rate_per_minute: int
    max_keys: int
    has_websocket: bool
    usage_log_days: int
    layer_states: tuple[LayerState, ...]

    @property
    def has_api(self) -> bool:
        return self.max_keys > 0

    @property
    def can_buy(self) -> bool:
        return self.has_api and self.price_usd_month > 0

    @property
    def is_full(self) -> bool:
        return self.has_api and all(layer.is_included for layer in self.layer_states)


def layers_shown() -> tuple[LayerShown, ...]:
    specs = all_specs()
    return tuple(
        LayerShown(
            slug=layer.value,
            name=str(layer.label),
            text=LAYER_TEXTS[layer],
            paths=tuple(spec.path for spec in specs if spec.layer == layer.value),
        )
        for layer in Layer
    )


def plans_shown() -> Sequence[PlanShown]:
    """Public plans in the order that staff gave them. Raises ``DatabaseError`` when it is away."""
    return [_plan_shown(plan) for plan in Plan.objects.filter(is_public=True)]


def figures() -> dict[str, int]:
    return {"assets": len(ASSETS), "venues": len(all_venues()), "endpoints": len(all_specs())}


def sample_answer() -> str | None:
    """A part of what the first call answers at this moment; None before the first snapshot."""
    try:
        document = store.read(SAMPLE_METRIC, SAMPLE_ASSET)
    except DatabaseError:
        return None
    if document is None:
        return None
    whole: dict[str, Any] = orjson.loads(document.body(document.snapshot_ts_ms))
    aggregate = whole["aggregate"]
    part = {
        "asset": whole["asset"],
        "aggregate": {name: aggregate.get(name) for name in _SAMPLE_FIELDS},
        "venues": whole["venues"],
    }
    return orjson.dumps(part, option=orjson.OPT_INDENT_2).decode()


def page_context() -> dict[str, object]:
    base_url = settings.PUBLIC_BASE_URL
    return {
        "base_url": base_url,
        "socket_url": socket_url(base_url),
        "environment": settings.KEY_ENVIRONMENT,
    }


def _plan_shown(plan: Plan) -> PlanShown:
    return PlanShown(
        slug=plan.slug,
        name=plan.name,
        price_usd_month=float(plan.price_usd_month),
        quota_day_text=f"{plan.quota_day:,}",
        quota_month_text=f"{plan.quota_month:,}",
        rate_per_minute=plan.rate_per_minute,
        max_keys=plan.max_keys,
        has_websocket=plan.has_websocket,
        usage_log_days=plan.usage_log_days,
        layer_states=tuple(
            LayerState(layer.value, str(layer.label), layer.value in plan.layers) for layer in Layer
        ),
    )
