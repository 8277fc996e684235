"""Alert conditions: read from JSON, and true or not at a moment. Pure.

A condition is a comparison ``{"metric", "asset", "field", "op", "value"}`` or a group of them,
``{"all": […]}`` or ``{"any": […]}``. ``clear`` gives a comparison hysteresis: once true it stays so until
the value is back beyond ``clear``. A number that is missing changes nothing: neither on nor off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Value: TypeAlias = float | str | None
OPS: Final = (">", ">=", "<", "<=", "==", "!=")
MAX_DEPTH: Final = 4
MAX_COMPARISONS: Final = 20
_LEAF_FIELDS: Final = ("metric", "asset", "field", "op", "value", "clear")
_MAX_NUMBER: Final = 1e15


class ConditionError(ValueError):
    """Where in the condition, what was expected, what came."""

    def __init__(self, where: str, expected: str, received: Any) -> None:
        super().__init__(f"{where}: expected {expected}")
        self.where = where
        self.expected = expected
        self.received = str(received)


@dataclass(frozen=True, slots=True)
class Comparison:
    """``field`` is a path in the metric's answer: ``aggregate.value``."""

    metric: str
    asset: str
    field: str
    op: str
    value: float | str
    clear: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """``kind`` is "all" or "any"."""

    kind: str
    parts: tuple[Condition, ...]


Condition: TypeAlias = Comparison | Group


@dataclass(frozen=True, slots=True)
class RuleState:
    """``held`` says of each comparison whether it was true; ``fired_ms`` when the rule last fired."""

    held: tuple[bool, ...] = ()
    was_true: bool = False
    fired_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What a look made of a rule. ``is_suppressed``: it would have fired but for its cooldown."""

    state: RuleState
    has_fired: bool
    is_suppressed: bool


CONDITION_SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Condition of an alert",
    "$ref": "#/$defs/condition",
    "$defs": {
        "condition": {
            "oneOf": [
                {"$ref": "#/$defs/comparison"},
                {"$ref": "#/$defs/group_all"},
                {"$ref": "#/$defs/group_any"},
            ]
        },
        "comparison": {
            "type": "object",
            "required": ["metric", "asset", "field", "op", "value"],
            "additionalProperties": False,
            "properties": {
                "metric": {"type": "string", "description": "A metric of /v1/meta/fields."},
                "asset": {"type": "string", "description": "An asset of /v1/meta/assets."},
                "field": {"type": "string", "description": "A field of the metric's answer."},
                "op": {"enum": list(OPS)},
                "value": {
                    "oneOf": [
                        {"type": "number", "minimum": -_MAX_NUMBER, "maximum": _MAX_NUMBER},
                        {"type": "string", "minLength": 1, "maxLength": 40},
                    ]
                },
                "clear": {
                    "type": "number",
                    "description": "Once true, it stays so until the value is back beyond this.",
                },
            },
        },
        **{
            f"group_{kind}": {
                "type": "object",
                "required": [kind],
                "additionalProperties": False,
                "properties": {
                    kind: {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": MAX_COMPARISONS,
                        "items": {"$ref": "#/$defs/condition"},
                    }
                },
            }
            for kind in ("all", "any")
        },
    },
}


# --- reading ---------------------------------------------------------------------------------------------


def condition_of(given: Any, where: str = "condition", depth: int = 1) -> Condition:
    """Raises ``ConditionError``; names of metrics, assets and fields are the caller's to check."""
    if not isinstance(given, Mapping):
        raise ConditionError(where, "an object", given)
    if depth > MAX_DEPTH:
        raise ConditionError(where, f"at most {MAX_DEPTH} levels", "more")
    kind = next((one for one in ("all", "any") if one in given), None)
    if kind is None:
        found: Condition = _comparison(given, where)
    else:
        found = _group(given, kind, where, depth)
    if depth == 1 and len(comparisons(found)) > MAX_COMPARISONS:
        raise ConditionError(
            where, f"at most {MAX_COMPARISONS} comparisons", len(comparisons(found))
        )
    return found


def _group(given: Mapping[str, Any], kind: str, where: str, depth: int) -> Group:
    parts = given[kind]
    if len(given) > 1:
        raise ConditionError(where, f"nothing beside {kind}", sorted(map(str, given)))
    if not isinstance(parts, list) or not 1 <= len(parts) <= MAX_COMPARISONS:
        raise ConditionError(
            f"{where}.{kind}", f"a list of 1 to {MAX_COMPARISONS} conditions", parts
        )
    found = (
        condition_of(part, f"{where}.{kind}[{index}]", depth + 1)
        for index, part in enumerate(parts)
    )
    return Group(kind, tuple(found))


def _comparison(given: Mapping[str, Any], where: str) -> Comparison:
    unknown = sorted(str(name) for name in given if name not in _LEAF_FIELDS)
    if unknown:
        raise ConditionError(where, f"fields among {', '.join(_LEAF_FIELDS)}, all, any", unknown[0])
    for name in ("metric", "asset", "field"):
        if not isinstance(given.get(name), str):
            raise ConditionError(f"{where}.{name}", "a name", given.get(name))
    op, value = given.get("op"), given.get("value")
    if not isinstance(op, str) or op not in OPS:
        raise ConditionError(f"{where}.op", f"one of {' '.join(OPS)}", op)
    if isinstance(value, str):
        if op not in ("==", "!="):
            raise ConditionError(f"{where}.op", "== or != for a word", op)
        if not 1 <= len(value) <= 40:
            raise ConditionError(f"{where}.value", "a word of 1 to 40 characters", value)
        if "clear" in given:
            raise ConditionError(f"{where}.clear", "no clear for a word", given["clear"])
        return Comparison(given["metric"], given["asset"], given["field"], op, value)
    number = _number(value, f"{where}.value")
    clear = _clear(given["clear"], op, number, f"{where}.clear") if "clear" in given else None
    return Comparison(given["metric"], given["asset"], given["field"], op, number, clear)


def _clear(given: Any, op: str, value: float, where: str) -> float:
    clear = _number(given, where)
    if op not in (">", ">=", "<", "<="):
        raise ConditionError(where, "clear with > >= < <= only", given)
    if clear > value if op in (">", ">=") else clear < value:
        side = "at most" if op in (">", ">=") else "at least"
        raise ConditionError(where, f"{side} the value {value:g}", given)
    return clear


def _number(given: Any, where: str) -> float:
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if not is_number or not math.isfinite(given) or abs(given) > _MAX_NUMBER:
        raise ConditionError(where, "a number or a word", given)
    return float(given)


def comparisons(condition: Condition) -> tuple[Comparison, ...]:
    """All of them, from left to right."""
    if isinstance(condition, Comparison):
        return (condition,)
    return tuple(leaf for part in condition.parts for leaf in comparisons(part))


# --- looking ---------------------------------------------------------------------------------------------


def advance(
    condition: Condition,
    state: RuleState,
    look: Callable[[Comparison], Value],
    now_ms: int,
    cooldown_ms: int,
) -> Step:
    """One look: fires when the whole becomes true and the cooldown since the last firing is over.

    Becoming true within the cooldown is suppressed, not put off.
    """
    leaves = comparisons(condition)
    before = state.held if len(state.held) == len(leaves) else (False,) * len(leaves)
    held = tuple(_holds(leaf, look(leaf), was) for leaf, was in zip(leaves, before, strict=True))
    is_true = _is_true(condition, iter(held).__next__)
    rises = is_true and not state.was_true
    # Market time may jump back in a replay: that is no cooldown.
    waits = state.fired_ms is not None and 0 <= now_ms - state.fired_ms < cooldown_ms
    has_fired = rises and not waits
    fired_ms = now_ms if has_fired else state.fired_ms
    return Step(RuleState(held, is_true, fired_ms), has_fired, rises and waits)


def _is_true(condition: Condition, take: Callable[[], bool]) -> bool:
    if isinstance(condition, Comparison):
        return take()
    parts = [_is_true(part, take) for part in condition.parts]
    return all(parts) if condition.kind == "all" else any(parts)


def _holds(leaf: Comparison, value: Value, was: bool) -> bool:
    if isinstance(leaf.value, str):
        if not isinstance(value, str):
            return was
        return (value == leaf.value) == (leaf.op == "==")
    if value is None or isinstance(value, str | bool):
        return was
    limit = leaf.clear if was and leaf.clear is not None else leaf.value
    return _compare(leaf.op, float(value), limit)


def _compare(op: str, value: float, limit: float) -> bool:
    if op == ">":
        return value > limit
    if op == ">=":
        return value >= limit
    if op == "<":
        return value < limit
    if op == "<=":
        return value <= limit
    return (value == limit) == (op == "==")


def value_at(payload: Any, field: str) -> Value:
    """The field of an answer; None where there is none."""
    found: Any = payload
    for name in field.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    if isinstance(found, str):
        return found
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    return float(found) if is_number else None


def fires_of(
    condition: Condition,
    moments: Sequence[tuple[int, Callable[[Comparison], Value]]],
    cooldown_ms: int,
) -> tuple[list[int], int]:
    """Moments in order at which a rule would have fired, and how often its cooldown kept it quiet."""
    state = RuleState()
    fired: list[int] = []
    suppressed = 0
    for now_ms, look in moments:
        step = advance(condition, state, look, now_ms, cooldown_ms)
        state = step.state
        fired += [now_ms] if step.has_fired else []
        suppressed += step.is_suppressed
    return fired, suppressed
