"""From published snapshots to events of the market: only what changes is told, and each change once.

A row per event type and asset remembers the snapshot that was looked at. The row's lock, the new state and
the events of all accounts are one transaction: two workers tell nothing twice, one that dies tells nothing
half.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import orjson
from django.conf import settings
from django.db import transaction
from django.db.models import Q

from apps.accounts.models import Account
from apps.alerts.event_types import FUNDING_EXTREME, LIQUIDATION_SPIKE
from apps.alerts.events import event_id_of, event_record
from apps.alerts.models import MarketState, Webhook
from apps.alerts.registry import by_name
from apps.core.clock import iso_utc
from apps.core.logs import get_logger
from apps.core.redis import sync_redis
from apps.marketdata.universe import ASSETS
from apps.snapshots import store
from apps.snapshots.contracts import SnapshotDocument

SPIKE_USD: Final = 250_000.0
SPIKE_TIMES: Final = 5.0
"""A minute is a spike with this much and this many times the average minute of the last four hours."""
QUIET_MS: Final = 15 * 60_000
"""What comes back within this time is the same event and not told again."""
_MINUTES_OF_4H: Final = 240
_FEWEST_MINUTES: Final = 5
Payload: TypeAlias = Mapping[str, Any]
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """``state`` is what the market is in ("high", "1m"); ``data`` tells it."""

    state: str
    data: dict[str, Any]


Finder: TypeAlias = Callable[[Payload], Finding | None]


def funding_extreme(payload: Payload) -> Finding | None:
    """The aggregate beyond the 2nd or 98th percentile of its 30 days."""
    aggregate = payload["aggregate"]
    word = aggregate.get("interpretation")
    if word not in ("extreme_high", "extreme_low") or aggregate["value"] is None:
        return None
    direction = word.removeprefix("extreme_")
    data = {"direction": direction, **_measured(aggregate, aggregate["value"], aggregate["unit"])}
    return Finding(direction, data)


def liquidation_spike(payload: Payload) -> Finding | None:
    """The last hour is extreme for its 30 days, or the last minute stands out of its four hours."""
    aggregate = payload["aggregate"]
    windows = aggregate["windows"]
    is_extreme = aggregate.get("interpretation") == "extreme_high"
    minute, day_part = windows["1m"], windows["4h"]
    if not is_extreme and not _stands_out(minute, day_part):
        return None
    name = "1h" if is_extreme else "1m"
    window = windows[name]
    value = window["total_usd"] if window["total_usd"] is not None else window["observed_usd"]
    context = aggregate if is_extreme else {}
    data = {
        "window": name,
        **_measured(context, value, "usd"),
        "long_usd": window["long_usd"],
        "short_usd": window["short_usd"],
    }
    return Finding("spike", data)


def _stands_out(minute: Payload, four_hours: Payload) -> bool:
    value = float(minute["observed_usd"])
    if value < SPIKE_USD:
        return False
    watched = float(four_hours["coverage"]) * _MINUTES_OF_4H - float(minute["coverage"])
    if watched < _FEWEST_MINUTES:
        return True
    usual = max(0.0, float(four_hours["observed_usd"]) - value) / watched
    return value >= SPIKE_TIMES * usual


def _measured(context: Payload, value: float, unit: str) -> dict[str, Any]:
    return {
        "value": value,
        "unit": unit,
        "percentile_30d": context.get("percentile_30d"),
        "z_score": context.get("z_score"),
    }


FINDERS: Final[tuple[tuple[str, str, Finder], ...]] = (
    (FUNDING_EXTREME, "markets.funding", funding_extreme),
    (LIQUIDATION_SPIKE, "markets.liquidations", liquidation_spike),
)


def market_events_tell() -> int:
    """Look at every snapshot that is newer than the last look; returns how many changes were told."""
    told = 0
    for type_name, metric, finder in FINDERS:
        for document in _unseen(type_name, metric):
            try:
                payload = orjson.loads(document.body(document.snapshot_ts_ms))
                told += _compare(type_name, document, finder(payload))
            except (ArithmeticError, LookupError, TypeError, ValueError):
                # One asset's snapshot, or one type of event, never keeps the others untold.
                _log.exception("market_event_failed", type=type_name, asset=document.asset)
    return told


def _unseen(type_name: str, metric: str) -> Sequence[SnapshotDocument]:
    """Versions are asked for first: bodies are read only where something is new."""
    rows = MarketState.objects.filter(market=settings.MARKET, type=type_name)
    seen = dict(rows.values_list("asset", "version"))
    pipeline = sync_redis().pipeline(transaction=False)
    for asset in ASSETS:
        pipeline.hget(store.snapshot_key(metric, asset), "v")
    versions = zip(ASSETS, pipeline.execute(), strict=True)
    newer = [
        asset
        for asset, version in versions
        if version is not None and int(version) > seen.get(asset, 0)
    ]
    return list(store.read_many(metric, newer).values()) if newer else []


@transaction.atomic
def _compare(type_name: str, document: SnapshotDocument, finding: Finding | None) -> int:
    key: dict[str, Any] = {
        "market": settings.MARKET,
        "type": type_name,
        "asset": document.asset,
    }
    MarketState.objects.get_or_create(**key)
    row = MarketState.objects.select_for_update().get(**key)
    if document.version <= row.version:
        return 0
    row.version = document.version
    before = row.state
    quiet_ms = document.snapshot_ts_ms - row.found_ms
    if finding is not None:
        row.state, row.found_ms = finding.state, document.snapshot_ts_ms
    elif quiet_ms >= QUIET_MS or quiet_ms < 0:
        row.state = ""
    row.save()
    if finding is None or finding.state == before:
        return 0
    data = {
        "market": settings.MARKET,
        "asset": document.asset,
        **finding.data,
        "snapshot_ts": iso_utc(document.snapshot_ts_ms),
    }
    moment = datetime.fromtimestamp(document.snapshot_ts_ms / 1000, UTC)
    for account in _interested(type_name):
        event_record(
            account,
            type_name,
            event_id=event_id_of(account.pk, *key.values(), document.version),
            data=data,
            asset=document.asset,
            occurred_at=moment,
        )
    return 1


def _interested(type_name: str) -> Sequence[Account]:
    """Accounts that have the event's layer and somewhere to be told: a webhook, or a socket."""
    event_type = by_name(type_name)
    layer = [event_type.layer] if event_type and event_type.layer else []
    hooks = Webhook.objects.filter(is_enabled=True).values("account_id")
    somewhere = Q(pk__in=hooks) | Q(plan__has_websocket=True)
    accounts = Account.objects.filter(somewhere, plan__layers__contains=layer)
    return list(accounts.select_related("plan").order_by("pk"))
