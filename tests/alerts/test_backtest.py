"""How often would this have fired: held to a plain loop over the rows that the history endpoints answer."""

from __future__ import annotations

import json
import random
from datetime import datetime
from typing import Any, Final

import pytest
from django.test import Client

from tests.alerts.test_rest import _call
from tests.alerts.test_rules import _no_snapshots, market
from tests.customers import Customer
from tests.markets import world

__all__ = ["_no_snapshots", "market"]
pytestmark = pytest.mark.django_db(databases=["default", "market"])
DAYS: Final = 10
HOUR_MS: Final = 3_600_000
# Where a number stands in the current answer, where in a row of history, and when the row is known.
SERIES: Final = {
    ("markets.funding", "venues.binance"): ("funding", "venues.binance", 0),
    ("markets.funding", "aggregate.value"): ("funding", "aggregate.value", 0),
    ("markets.open_interest", "venues.binance"): ("open-interest", "venues.binance", HOUR_MS),
    ("markets.volume_flow", "aggregate.value"): ("volume-flow", "aggregate.delta_usd", HOUR_MS),
    ("markets.ohlcv", "aggregate.price"): ("ohlcv", "aggregate.close", HOUR_MS),
    ("markets.liquidations", "aggregate.value"): ("liquidations", "aggregate.total_usd", HOUR_MS),
}


def _points(customer: Customer, metric: str, field: str) -> list[tuple[int, float | None]]:
    """The hours of a number as the endpoint of its history has them."""
    path, name, lag_ms = SERIES[metric, field]
    start = (world.NOW_MS - DAYS * world.DAY) // HOUR_MS * HOUR_MS
    query = f"asset=BTC&from={start}&to={world.NOW_MS}&interval=1h&limit=1000"
    query += "&kind=perp" if path == "ohlcv" else ""
    answer = Client().get(f"/v1/markets/{path}?{query}", headers=customer.headers)
    assert answer.status_code == 200, answer.content
    found = []
    for row in json.loads(answer.getvalue())["data"]:
        value: Any = row
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if row.get("closed", True):
            ts = int(datetime.fromisoformat(row["ts"]).timestamp() * 1000)
            found.append((ts + lag_ms, value))
    return found


def _holds(leaf: Any, value: float | None, was: bool) -> bool:
    if value is None:
        return was
    limit = leaf["clear"] if was and "clear" in leaf else leaf["value"]
    return bool(value > limit) if leaf["op"] == ">" else bool(value < limit)


def _is_true(condition: Any, states: dict[int, bool]) -> bool:
    if "all" in condition:
        return not [part for part in condition["all"] if not _is_true(part, states)]
    if "any" in condition:
        return bool([part for part in condition["any"] if _is_true(part, states)])
    return states[id(condition)]


def _leaves(condition: Any) -> list[Any]:
    parts = condition.get("all") or condition.get("any")
    return [condition] if parts is None else [leaf for part in parts for leaf in _leaves(part)]


def _brute(
    series: dict[tuple[str, str], list[tuple[int, float | None]]], condition: Any, cooldown_s: int
) -> tuple[list[int], int]:
    """Every hour from the first to the last, every value looked for among all: slow and plain."""
    leaves = _leaves(condition)
    used = [series[leaf["metric"], leaf["field"]] for leaf in leaves]
    hours = sorted({ts for points in used for ts, _ in points})
    states = {id(leaf): False for leaf in leaves}
    fired: list[int] = []
    was, quiet = False, 0
    for hour in hours:
        for leaf, points in zip(leaves, used, strict=True):
            known = [value for ts, value in points if ts <= hour]
            newest = known[-1] if known else None
            states[id(leaf)] = _holds(leaf, newest, states[id(leaf)])
        now = _is_true(condition, states)
        if now and not was:
            if fired and hour - fired[-1] < cooldown_s * 1000:
                quiet += 1
            else:
                fired.append(hour)
        was = now
    return fired, quiet


def _random_leaf(rng: random.Random, series: Any) -> dict[str, Any]:
    metric, field = rng.choice(sorted(series))
    known = sorted({value for _, value in series[metric, field] if value is not None})
    op = rng.choice("<>")
    # A value that is passed at times, and not for ever.
    index = rng.randrange(max(1, len(known) - 1)) + (op == "<" and len(known) > 1)
    value = known[index]
    clear = rng.choice(known[: index + 1] if op == ">" else known[index:])
    leaf = {"metric": metric, "asset": "BTC", "field": field, "op": op, "value": value}
    return {**leaf, "clear": clear} if rng.random() < 0.5 else leaf


def _random_condition(rng: random.Random, series: Any, depth: int = 1) -> dict[str, Any]:
    if depth == 3 or rng.random() < 0.4:
        return _random_leaf(rng, series)
    parts = [_random_condition(rng, series, depth + 1) for _ in range(rng.randint(1, 3))]
    return {rng.choice(["all", "any"]): parts}


def test_it_counts_what_a_plain_loop_counts(eve: Customer, market: world.Market) -> None:
    series = {pair: _points(eve, *pair) for pair in SERIES}
    assert (
        min(len([1 for _, value in points if value is not None]) for points in series.values()) > 4
    )
    rng = random.Random(11)
    fires = suppressed = 0
    for _ in range(40):
        condition = _random_condition(rng, series)
        cooldown_s = rng.choice([0, 7200, 86_400, 3 * 86_400])
        body = {"condition": condition, "cooldown_seconds": cooldown_s, "days": DAYS}
        answer = _call(eve, "POST", "/v1/alerts/backtest", body)
        assert answer.status_code == 200, answer.content
        found = answer.json()
        told = [int(datetime.fromisoformat(one).timestamp() * 1000) for one in found["fired_at"]]
        expected, quiet = _brute(series, condition, cooldown_s)
        assert (told, found["fires"], found["suppressed"]) == (expected, len(expected), quiet), body
        fires, suppressed = fires + found["fires"], suppressed + found["suppressed"]
    assert fires > 20
    assert suppressed > 0
