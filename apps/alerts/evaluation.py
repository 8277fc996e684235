"""Looking at rules after each refresh: only at those whose snapshots are new, each in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

import orjson
from django.conf import settings
from django.db import transaction

from apps.alerts.engine import Comparison, RuleState, Value, advance, comparisons, value_at
from apps.alerts.event_types import TRIGGERED
from apps.alerts.events import event_id_of, event_record
from apps.alerts.models import AlertFire, AlertRule
from apps.alerts.rules import condition_stored, pairs_of
from apps.alerts.webhooks import LAYER
from apps.core.clock import iso_utc
from apps.core.logs import get_logger
from apps.core.redis import sync_redis
from apps.snapshots import store

Pair: TypeAlias = tuple[str, str]
_log = get_logger(__name__)


def rules_look() -> int:
    """Advance every rule that has something new to look at; returns how many fired."""
    rules = AlertRule.objects.filter(is_enabled=True, account__plan__layers__contains=[LAYER])
    wanted = {rule.pk: pairs_of(condition_stored(rule)) for rule in rules}
    versions = _versions(sorted({pair for pairs in wanted.values() for pair in pairs}))
    due = [rule for rule in rules if _seen(wanted[rule.pk], versions) not in ({}, rule.seen)]
    payloads = _payloads(sorted({pair for rule in due for pair in wanted[rule.pk]}))
    fired = 0
    for rule in due:
        try:
            fired += _look(rule.pk, payloads, _seen(wanted[rule.pk], versions))
        except Exception as error:
            # One customer's rule never keeps the others from being looked at.
            _log.exception("alert_rule_failed", rule=rule.pk, error=type(error).__name__)
    return fired


@transaction.atomic
def _look(rule_id: int, payloads: Mapping[Pair, Any], seen: dict[str, int]) -> int:
    rule = (
        AlertRule.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("account__plan")
        .filter(pk=rule_id, is_enabled=True)
        .first()
    )
    if rule is None or rule.seen == seen:
        return 0
    condition = condition_stored(rule)
    if not any(pair in payloads for pair in pairs_of(condition)):
        return 0

    def look(leaf: Comparison) -> Value:
        return value_at(payloads.get((leaf.metric, leaf.asset)), leaf.field)

    now_ms = max(_market_ms(payloads[pair]) for pair in pairs_of(condition) if pair in payloads)
    state = RuleState(tuple(rule.held), rule.was_true, rule.fired_ms)
    step = advance(condition, state, look, now_ms, rule.cooldown_s * 1000)
    rule.held, rule.was_true = list(step.state.held), step.state.was_true
    rule.fired_ms, rule.seen = step.state.fired_ms, seen
    rule.suppressed += step.is_suppressed
    rule.save()
    if step.has_fired:
        values = [told(leaf, look(leaf)) for leaf in comparisons(condition)]
        _fire(rule, values, datetime.fromtimestamp(now_ms / 1000, UTC))
    return int(step.has_fired)


def _fire(rule: AlertRule, values: list[dict[str, Any]], at: datetime) -> None:
    fire = AlertFire.objects.create(rule=rule, at=at, values=values)
    fire.event_id = event_id_of("alert", rule.pk, fire.pk)
    fire.save()
    assets = {one["asset"] for one in values}
    event_record(
        rule.account,
        TRIGGERED,
        event_id=fire.event_id,
        data=triggered_data(rule, values, at),
        asset=assets.pop() if len(assets) == 1 else "",
        occurred_at=at,
    )


def triggered_data(rule: AlertRule, values: list[dict[str, Any]], at: datetime) -> dict[str, Any]:
    """What ``alert.triggered`` says."""
    return {
        "market": settings.MARKET,
        "alert_id": rule.pk,
        "name": rule.name,
        "summary": "; ".join(_line(one) for one in values)[:500],
        "values": values,
        "fired_at": iso_utc(int(at.timestamp() * 1000)),
    }


def told(leaf: Comparison, observed: Value) -> dict[str, Any]:
    return {
        "metric": leaf.metric,
        "asset": leaf.asset,
        "field": leaf.field,
        "op": leaf.op,
        "value": leaf.value,
        "observed": observed,
    }


def values_now(rule: AlertRule) -> list[dict[str, Any]]:
    """The comparisons of a rule with what they would see at this moment."""
    condition = condition_stored(rule)
    payloads = _payloads(pairs_of(condition))
    return [
        told(leaf, value_at(payloads.get((leaf.metric, leaf.asset)), leaf.field))
        for leaf in comparisons(condition)
    ]


def _market_ms(payload: Any) -> int:
    return int(datetime.fromisoformat(payload["meta"]["snapshot_ts"]).timestamp() * 1000)


def _line(one: Mapping[str, Any]) -> str:
    limit = f"{one['value']:g}" if isinstance(one["value"], float) else one["value"]
    return f"{one['asset']} {one['metric']} {one['field']} {one['op']} {limit}: {one['observed']}"


def _versions(pairs: list[Pair]) -> dict[Pair, int]:
    if not pairs:
        return {}
    pipeline = sync_redis().pipeline(transaction=False)
    for metric, asset in pairs:
        pipeline.hget(store.snapshot_key(metric, asset), "v")
    answers = zip(pairs, pipeline.execute(), strict=True)
    return {pair: int(version) for pair, version in answers if version is not None}


def _seen(pairs: list[Pair], versions: Mapping[Pair, int]) -> dict[str, int]:
    return {f"{metric}|{asset}": versions[metric, asset] for metric, asset in pairs
            if (metric, asset) in versions}  # fmt: skip


def _payloads(pairs: list[Pair]) -> dict[Pair, Any]:
    found: dict[Pair, Any] = {}
    for metric in {metric for metric, _ in pairs}:
        assets = [asset for one, asset in pairs if one == metric]
        for asset, document in store.read_many(metric, assets).items():
            found[metric, asset] = orjson.loads(document.body(document.snapshot_ts_ms))
    return found
