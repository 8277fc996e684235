"""Making and changing alert rules. What comes in is named when it is wrong, and then nothing is stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final

from django.db import transaction

from apps.accounts.models import Account
from apps.alerts.engine import (
    Comparison,
    Condition,
    ConditionError,
    Group,
    comparisons,
    condition_of,
)
from apps.alerts.event_types import TRIGGERED
from apps.alerts.events import event_test, wants
from apps.alerts.models import AlertRule, Delivery, Webhook
from apps.alerts.webhooks import checked_bool, checked_name, checked_object, plan_check
from apps.core.errors import InvalidParameter, LimitReached, NotFound, TierRequired
from apps.core.params import invalid
from apps.marketdata.universe import ASSETS, VENUES
from apps.markets.contracts import FIELDS
from apps.markets.fields import FieldDoc
from apps.snapshots.registry import all_specs
from apps.tiers.admission import plan_for_layer
from apps.tiers.selectors import layer_plans

MAX_RULES: Final = 50
MAX_COOLDOWN_S: Final = 7 * 86_400
DEFAULT_COOLDOWN_S: Final = 3600
# Whoever has intelligence may join comparisons.
GROUP_LAYER: Final = "L4"
_FIELDS: Final = ("name", "condition", "cooldown_seconds", "is_enabled")
_HOLE: Final = re.compile(r"\\\{(\w+)\\\}")


@transaction.atomic
def rule_create(account: Account, given: Any) -> AlertRule:
    """``given`` is a request's JSON object: ``condition`` is needed, the rest has defaults."""
    plan_check(account)
    fields = _checked(account, given)
    if "condition" not in fields:
        raise invalid("condition", "an object", "none")
    # One at a time, so that the count holds.
    Account.objects.select_for_update().get(pk=account.pk)
    if AlertRule.objects.filter(account=account).count() >= MAX_RULES:
        raise LimitReached(f"An account has at most {MAX_RULES} alerts; delete one first.")
    return AlertRule.objects.create(account=account, **{"name": "alert", **fields})


@transaction.atomic
def rule_update(rule: AlertRule, given: Any) -> AlertRule:
    """Another condition, or switching it on, starts anew: nothing is held of before."""
    fields = _checked(rule.account, given)
    locked = AlertRule.objects.select_for_update().get(pk=rule.pk)
    is_new = fields.get("condition", locked.condition) != locked.condition
    if is_new or (fields.get("is_enabled") and not locked.is_enabled):
        locked.seen, locked.held, locked.was_true = {}, [], False
    for name, value in fields.items():
        setattr(locked, name, value)
    locked.save()
    return locked


def rule_disable(rule: AlertRule) -> bool:
    """By staff. False when it was off; its owner may switch it on again."""
    return bool(AlertRule.objects.filter(pk=rule.pk, is_enabled=True).update(is_enabled=False))


def checked_condition(account: Account, given: Any) -> Condition:
    """A condition whose names exist and that the account's plan has."""
    try:
        condition = condition_of(given)
        for leaf, where in _places(condition):
            _check_names(account, leaf, where)
    except ConditionError as error:
        raise _named(error) from None
    if isinstance(condition, Group) and GROUP_LAYER not in account.plan.layers:
        required = plan_for_layer(layer_plans(), GROUP_LAYER)
        raise TierRequired(
            f"Conditions joined by all or any are not part of the account's plan "
            f"({account.plan.slug}); the {required} plan has them.",
            extra={"required_plan": required or None},
        )
    return condition


def checked_cooldown(given: Any) -> int:
    is_integer = isinstance(given, int) and not isinstance(given, bool)
    if not is_integer or not 0 <= given <= MAX_COOLDOWN_S:
        expected = f"an integer from 0 to {MAX_COOLDOWN_S}"
        raise invalid("cooldown_seconds", expected, str(given))
    return int(given)


def _checked(account: Account, given: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    body: Mapping[str, Any] = checked_object(given, _FIELDS)
    if "name" in body:
        fields["name"] = checked_name(body["name"])
    if "condition" in body:
        checked_condition(account, body["condition"])
        fields["condition"] = body["condition"]
    if "cooldown_seconds" in body:
        fields["cooldown_s"] = checked_cooldown(body["cooldown_seconds"])
    if "is_enabled" in body:
        fields["is_enabled"] = checked_bool("is_enabled", body["is_enabled"])
    return fields


def _named(error: ConditionError) -> InvalidParameter:
    return invalid(error.where, error.expected, error.received)


def _places(condition: Condition, where: str = "condition") -> list[tuple[Comparison, str]]:
    if isinstance(condition, Comparison):
        return [(condition, where)]
    return [
        place
        for index, part in enumerate(condition.parts)
        for place in _places(part, f"{where}.{condition.kind}[{index}]")
    ]


def _check_names(account: Account, leaf: Comparison, where: str) -> None:
    layers = {spec.metric: spec.layer for spec in all_specs()}
    if leaf.metric not in layers:
        raise ConditionError(f"{where}.metric", f"one of {', '.join(layers)}", leaf.metric)
    if layers[leaf.metric] not in account.plan.layers:
        raise TierRequired(
            f"Layer {layers[leaf.metric]} is not part of the account's plan.",
            extra={"required_layer": layers[leaf.metric]},
        )
    if leaf.asset not in ASSETS:
        raise ConditionError(f"{where}.asset", "an asset of /v1/meta/assets", leaf.asset)
    known = _field(leaf.metric, leaf.field)
    if known is None:
        near = get_close_matches(leaf.field, _names(leaf.metric), 1)
        expected = "a field of /v1/meta/fields" + (f", such as {near[0]}" if near else "")
        raise ConditionError(f"{where}.field", expected, leaf.field)
    _check_kind(leaf, known, where)


def _check_kind(leaf: Comparison, known: FieldDoc, where: str) -> None:
    words = known.range.split(" | ") if " | " in known.range else []
    if words and leaf.value not in words:
        raise ConditionError(f"{where}.value", f"one of {', '.join(words)}", leaf.value)
    if isinstance(leaf.value, str) and not words and (known.unit or known.range):
        raise ConditionError(f"{where}.value", "a number", leaf.value)


@lru_cache(maxsize=4096)
def _field(metric: str, name: str) -> FieldDoc | None:
    """The documented field of this name; lists and what is about the answer itself are none."""
    if name.startswith("meta.") or len(name) > 120:
        return None
    for pattern, one in _patterns(metric):
        found = pattern.fullmatch(name)
        if found is not None:
            venue = found.groupdict().get("venue")
            return one if venue is None or venue in VENUES else None
    return None


@lru_cache(maxsize=64)
def _names(metric: str) -> tuple[str, ...]:
    found = (one.name for one in FIELDS if one.metric == metric and "[]" not in one.name)
    return tuple(name for name in found if not name.startswith("meta."))


@lru_cache(maxsize=64)
def _patterns(metric: str) -> tuple[tuple[re.Pattern[str], FieldDoc], ...]:
    return tuple(
        (re.compile(_HOLE.sub(r"(?P<\1>[A-Za-z0-9_-]+)", re.escape(one.name))), one)
        for one in FIELDS
        if one.metric == metric and "[]" not in one.name
    )


def _hooks_told(account_id: int) -> list[Webhook]:
    hooks = Webhook.objects.filter(account_id=account_id, is_enabled=True)
    return [hook for hook in hooks if wants(hook, TRIGGERED, "")]


def is_told(account: Account) -> bool:
    """Whether a fire reaches anything: a webhook that takes it, or the plan's sockets."""
    return account.plan.has_websocket or bool(_hooks_told(account.pk))


@transaction.atomic
def rule_test(rule: AlertRule, data: Mapping[str, Any]) -> list[Delivery]:
    """``data`` as a test to every webhook that would be told; refused when there is none."""
    found = [event_test(hook, TRIGGERED, data) for hook in _hooks_told(rule.account_id)]
    if not found:
        raise NotFound(f"No webhook that is switched on takes {TRIGGERED}; add one first.")
    return found


def condition_stored(rule: AlertRule) -> Condition:
    """As it was checked when it came in."""
    return condition_of(rule.condition)


def pairs_of(condition: Condition) -> list[tuple[str, str]]:
    """Metrics and assets of a condition, each once."""
    return list(dict.fromkeys((leaf.metric, leaf.asset) for leaf in comparisons(condition)))
