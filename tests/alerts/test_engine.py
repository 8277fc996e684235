"""Conditions: what is read agrees with the published schema, what is true with plain Python."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.alerts.engine import (
    CONDITION_SCHEMA,
    MAX_DEPTH,
    Comparison,
    ConditionError,
    Group,
    RuleState,
    Value,
    advance,
    comparisons,
    condition_of,
    fires_of,
    value_at,
)

LEAF: Final = {
    "metric": "markets.funding", "asset": "BTC", "field": "aggregate.value", "op": ">", "value": 5,
}  # fmt: skip
HOUR_MS: Final = 3_600_000
_SCHEMA: Final = jsonschema.Draft202012Validator(CONDITION_SCHEMA)


def _leaf(**changes: Any) -> dict[str, Any]:
    return {**LEAF, **changes}


def _always(value: Value) -> Callable[[Comparison], Value]:
    return lambda _: value


def _run(raw: Any, values: list[Value], cooldown_ms: int = 0, step_ms: int = HOUR_MS) -> list[bool]:
    """Whether a rule fires at each of the values, an hour apart; every comparison sees the same."""
    condition, state, fired = condition_of(raw), RuleState(), []
    for index, value in enumerate(values):
        step = advance(condition, state, _always(value), index * step_ms, cooldown_ms)
        state = step.state
        fired.append(step.has_fired)
    return fired


class TestReading:
    @pytest.mark.parametrize(
        ("raw", "where"),
        [
            (None, "condition"),
            ([], "condition"),
            ("x", "condition"),
            ({}, "condition.metric"),
            (_leaf(metric=1), "condition.metric"),
            (_leaf(op="=>"), "condition.op"),
            (_leaf(op=["<"]), "condition.op"),
            (_leaf(value=None), "condition.value"),
            (_leaf(value=True), "condition.value"),
            (_leaf(value=1e16), "condition.value"),
            (_leaf(value=float("nan")), "condition.value"),
            (_leaf(value="high"), "condition.op"),
            (_leaf(op="==", value=""), "condition.value"),
            (_leaf(op="==", value="high", clear=1), "condition.clear"),
            (_leaf(op="==", clear=1), "condition.clear"),
            (_leaf(clear=6), "condition.clear"),
            (_leaf(op="<", clear=4), "condition.clear"),
            (_leaf(clear="low"), "condition.clear"),
            (_leaf(extra=1), "condition"),
            ({"all": []}, "condition.all"),
            ({"all": LEAF}, "condition.all"),
            ({"all": [LEAF], "any": [LEAF]}, "condition"),
            ({"any": [LEAF, {"all": [LEAF, {}]}]}, "condition.any[1].all[1].metric"),
            ({"any": [{"all": [LEAF] * 11}] * 2}, "condition"),
        ],
    )
    def test_what_is_wrong_is_named_where_it_stands(self, raw: Any, where: str) -> None:
        with pytest.raises(ConditionError) as caught:
            condition_of(raw)
        assert caught.value.where == where

    def test_too_deep(self) -> None:
        raw: Any = LEAF
        for _ in range(MAX_DEPTH - 1):
            raw = {"all": [raw]}
        assert len(comparisons(condition_of(raw))) == 1
        with pytest.raises(ConditionError, match="at most 4 levels"):
            condition_of({"all": [raw]})

    names = st.text(max_size=8)
    numbers = st.one_of(st.integers(-5, 5), st.floats(-1e15, 1e15), st.booleans(), st.none(), names)
    leaves = st.fixed_dictionaries(
        {"metric": names, "asset": names, "field": names,
         "op": st.sampled_from([">", "<", "==", "!=", "x"]), "value": numbers},
        optional={"clear": numbers},
    )  # fmt: skip
    conditions = st.recursive(
        leaves, lambda parts: st.dictionaries(st.sampled_from(["all", "any"]), st.lists(parts))
    )

    @given(conditions)
    def test_what_is_read_fits_the_schema(self, raw: Any) -> None:
        """The other way round, the schema says less: sides of clear, words with ==, depth."""
        try:
            condition_of(raw)
        except ConditionError:
            return
        assert list(_SCHEMA.iter_errors(raw)) == []

    def test_the_schema_refuses_what_it_can_say(self) -> None:
        wrongs: tuple[Any, ...] = (
            _leaf(op="=>"),
            {},
            {"all": []},
            {"all": [LEAF], "any": [LEAF]},
            _leaf(x=1),
        )
        for wrong in wrongs:
            assert list(_SCHEMA.iter_errors(wrong)) != []
        assert list(_SCHEMA.iter_errors({"any": [LEAF, {"all": [LEAF]}]})) == []


class TestLooking:
    OPS: Final = {
        ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
        "==": operator.eq, "!=": operator.ne,
    }  # fmt: skip

    @given(st.sampled_from(sorted(OPS)), st.integers(-3, 3), st.integers(-3, 3))
    def test_a_comparison_is_what_python_says(self, op: str, value: int, limit: int) -> None:
        assert _run(_leaf(op=op, value=limit), [float(value)]) == [self.OPS[op](value, limit)]

    @given(st.lists(st.booleans(), min_size=4, max_size=4))
    def test_groups_are_and_and_or(self, truth: list[bool]) -> None:
        raw = {"any": [{"all": [_leaf(field="a"), _leaf(field="b")]}, _leaf(field="c"),
                       {"all": [_leaf(field="d")]}]}  # fmt: skip
        seen = dict(zip("abcd", (9.0 if one else 0.0 for one in truth), strict=True))
        step = advance(condition_of(raw), RuleState(), lambda leaf: seen[leaf.field], 0, 0)
        a, b, c, d = truth
        assert step.has_fired == ((a and b) or c or d)
        assert step.state.held == (a, b, c, d)

    def test_it_fires_when_it_becomes_true_and_not_while_it_is(self) -> None:
        values: list[Value] = [4.0, 6.0, 7.0, 5.0, 6.0]
        assert _run(LEAF, values) == [False, True, False, False, True]

    def test_hysteresis_holds_until_clear(self) -> None:
        values: list[Value] = [6.0, 4.5, 6.0, 4.1, 4.0, 4.5, 5.5]
        with_clear = _run(_leaf(clear=4), values)
        assert with_clear == [True, False, False, False, False, False, True]
        assert _run(LEAF, values) == [True, False, True, False, False, False, True]
        below = _run(_leaf(op="<", value=1, clear=2), [0.5, 1.5, 0.5, 2.0, 0.5])
        assert below == [True, False, False, False, True]

    def test_a_missing_number_changes_nothing(self) -> None:
        assert _run(LEAF, [None, 6.0, None, 6.0, 4.0, None, 6.0]) == [
            False, True, False, False, False, False, True,
        ]  # fmt: skip

    def test_words(self) -> None:
        raw = _leaf(field="aggregate.interpretation", op="==", value="extreme_high")
        assert _run(raw, ["high", "extreme_high", None, 3.0, "high", "extreme_high"]) == [
            False, True, False, False, False, True,
        ]  # fmt: skip
        assert _run({**raw, "op": "!="}, ["extreme_high", "low"]) == [False, True]

    def test_the_cooldown_keeps_quiet_and_puts_nothing_off(self) -> None:
        values: list[Value] = [6.0, 1.0, 6.0, 6.0, 1.0, 6.0]
        assert _run(LEAF, values, cooldown_ms=3 * HOUR_MS) == [
            True, False, False, False, False, True,
        ]  # fmt: skip
        moments = [(i * HOUR_MS, _always(v)) for i, v in enumerate(values)]
        assert fires_of(condition_of(LEAF), moments, 3 * HOUR_MS) == ([0, 5 * HOUR_MS], 1)

    def test_time_that_jumps_back_is_no_cooldown(self) -> None:
        state = RuleState((False,), False, 10 * HOUR_MS)
        step = advance(condition_of(LEAF), state, lambda _: 6.0, HOUR_MS, 5 * HOUR_MS)
        assert step.has_fired

    def test_a_rule_with_other_comparisons_holds_nothing_of_before(self) -> None:
        condition = condition_of({"any": [LEAF, LEAF]})
        step = advance(condition, RuleState((True,), False, None), lambda _: None, 0, 0)
        assert step.state.held == (False, False)


def test_fields_are_paths() -> None:
    payload = {"aggregate": {"value": 1, "state": "x", "is": True, "none": None, "list": [1]}}
    assert value_at(payload, "aggregate.value") == 1.0
    assert value_at(payload, "aggregate.state") == "x"
    for field in ("aggregate", "aggregate.is", "aggregate.none", "aggregate.list", "a.b", "", "."):
        assert value_at(payload, field) is None
    assert value_at(None, "a") is None


def test_parts_are_read_as_written() -> None:
    assert condition_of({"any": [_leaf(clear=4)]}) == Group(
        "any", (Comparison("markets.funding", "BTC", "aggregate.value", ">", 5.0, 4.0),)
    )
