"""Scenarios as the control face and the command read them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, Final

from apps.sandbox.market.scenarios import MAX_STRENGTH, Scenario, ScenarioKind

DEFAULT_S: Final = 300.0
LONGEST_S: Final = 86_400.0
_FIELDS: Final = frozenset({"kind", "assets", "asset", "in", "seconds", "strength"})


class BadScenario(ValueError):
    """The control face answers 400 with this text."""


def _number(command: Mapping[str, Any], name: str, default: float, most: float) -> float:
    value = command.get(name, default)
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise BadScenario(f"{name}: expected a number, got {value!r}") from error
    if not (math.isfinite(number) and 0.0 <= number <= most):
        raise BadScenario(f"{name}: expected 0 to {most:g}, got {value!r}")
    return number


def _assets(command: Mapping[str, Any], known: Collection[str]) -> tuple[str, ...]:
    asked = command.get("assets", command.get("asset", []))
    names = [asked] if isinstance(asked, str) else asked
    if not isinstance(names, list | tuple):
        raise BadScenario(f"assets: expected a list of names, got {names!r}")
    for name in names:
        if name not in known:
            raise BadScenario(f"assets: {name!r} is not in this market")
    return tuple(dict.fromkeys(names))


def scenario_of(command: Mapping[str, Any], now_ms: int, assets: Collection[str]) -> Scenario:
    """``{"kind", "assets": […] (all of them when left out), "in": s, "seconds": s, "strength"}``.

    Raises :class:`BadScenario` naming what is wrong.
    """
    unknown = sorted(set(command) - _FIELDS)
    if unknown:
        raise BadScenario(f"unknown field {unknown[0]}; it takes {', '.join(sorted(_FIELDS))}")
    kinds = [one.value for one in ScenarioKind]
    kind = command.get("kind")
    if kind not in kinds:
        raise BadScenario(f"kind: expected one of {', '.join(kinds)}, got {kind!r}")
    start_ms = now_ms + int(_number(command, "in", 0.0, LONGEST_S) * 1_000)
    duration_ms = int(_number(command, "seconds", DEFAULT_S, LONGEST_S) * 1_000)
    strength = _number(command, "strength", 1.0, MAX_STRENGTH)
    try:
        return Scenario(
            ScenarioKind(kind), _assets(command, assets), start_ms, duration_ms, strength
        )
    except ValueError as error:
        raise BadScenario(str(error)) from error


def as_dict(scenario: Scenario) -> dict[str, Any]:
    return {
        "kind": scenario.kind.value,
        "assets": list(scenario.assets),
        "start_ms": scenario.start_ms,
        "end_ms": scenario.end_ms,
        "strength": scenario.strength,
    }
