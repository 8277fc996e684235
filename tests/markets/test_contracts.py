"""The shape of an L1 answer: the landing sample is inside, leaves are documented, nulls explained."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest

from apps.marketdata.universe import VENUES
from apps.markets import contracts
from apps.markets.contracts import FIELDS, FLOW_METRIC, FUNDING_METRIC, WINDOWS
from apps.markets.contracts_basis import BASIS_METRIC
from apps.markets.contracts_common import LABELS, NULL_REASONS
from apps.markets.contracts_liquidations import LIQUIDATIONS_METRIC, LiquidationsPayload
from apps.markets.contracts_ohlcv import OHLCV_METRIC, OhlcvPayload
from apps.markets.contracts_open_interest import OPEN_INTEREST_METRIC, OpenInterestPayload
from apps.markets.contracts_positioning import (
    FURTHER_SERIES,
    POSITIONING_METRIC,
    PositioningPayload,
)
from apps.markets.fields import FieldDoc, doc, field_table
from apps.markets.snapshots import (
    build_basis,
    build_funding,
    build_liquidations,
    build_ohlcv,
    build_open_interest,
    build_positioning,
    build_volume_flow,
)
from tests.markets.world import Market

pytestmark = pytest.mark.django_db(databases=["default", "market"])

# product/focsal-api-landing.txt, layer 1.
SAMPLE = {
    "asset": "BTC",
    "aggregate": {
        "value": 0.0089,
        "percentile_30d": 0.78,
        "z_score": 1.45,
        "interpretation": "elevated",
    },
    "venues": {"binance": 0.0092, "bybit": 0.0085},
}


def _generic(key: str) -> str:
    if key in FURTHER_SERIES:
        return "{series}"
    return "{venue}" if key in VENUES else "{window}" if key in (*WINDOWS, "1m") else key


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            name = _generic(key)
            yield from leaves(item, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for item in value:
            yield from leaves(item, f"{path}[]")
    else:
        yield path, value


def answers(assets: Sequence[str] = ("BTC", "ETH", "WIF")) -> list[tuple[str, dict[str, Any]]]:
    return (
        [(FUNDING_METRIC, one) for one in build_funding(assets)]
        + [(FLOW_METRIC, one) for one in build_volume_flow(assets)]
        + [(OPEN_INTEREST_METRIC, one) for one in build_open_interest(assets)]
        + [(OHLCV_METRIC, one) for one in build_ohlcv(assets)]
        + [(POSITIONING_METRIC, one) for one in build_positioning(assets)]
        + [(LIQUIDATIONS_METRIC, one) for one in build_liquidations(assets)]
        + [(BASIS_METRIC, one) for one in build_basis(assets)]
    )


def documented(metric: str) -> dict[str, FieldDoc]:
    return {entry.name: entry for entry in FIELDS if entry.metric == metric}


def test_the_landing_pages_sample_is_inside(published: Market) -> None:
    answer = build_funding(["BTC"])[0]
    for name, value in SAMPLE["aggregate"].items():  # type: ignore[attr-defined]  # a literal above
        assert type(answer["aggregate"][name]) is type(value)
    assert answer["asset"] == SAMPLE["asset"]
    assert set(answer["venues"]) == {"binance", "bybit"}
    assert all(type(number) is float for number in answer["venues"].values())


def test_every_leaf_is_documented(published: Market) -> None:
    for metric, answer in answers():
        table = documented(metric)
        for path, value in leaves(answer):
            # A block that is missing as a whole is documented by its parts.
            parts = [name for name in table if name.startswith((path + ".", path + "[]"))]
            assert path in table or (parts and value in (None, {}, [])), (metric, path)


def test_no_field_is_documented_twice_and_all_have_a_meaning() -> None:
    names = [(entry.metric, entry.name) for entry in FIELDS]
    assert len(names) == len(set(names))
    assert all(entry.meaning for entry in FIELDS)


def test_every_null_has_its_reason(published: Market) -> None:
    def check(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                check(item)
        elif isinstance(value, dict):
            if any(item is None for item in value.values()):
                assert value["null_reason"] in NULL_REASONS
            elif "null_reason" in value:
                raise AssertionError(f"nothing is null in {value}")
            for item in value.values():
                check(item)

    for _, answer in answers():
        check(answer)


def test_words_come_from_their_vocabulary(published: Market) -> None:
    for _, answer in answers():
        for path, value in leaves(answer):
            if path.endswith("interpretation"):
                assert value in LABELS
            if path.endswith("status"):
                assert value in (
                    "ok",
                    "stale",
                    "degraded",
                    "down",
                    "not_listed",
                    "not_connected",
                    "not_published",
                )
            if path.endswith(("_ts", "_at", "last_ok", "session_start")) and value is not None:
                assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z", value)


def test_meta_ends_the_answer_and_its_age_keys_are_neighbours(published: Market) -> None:
    for _, answer in answers():
        keys = list(answer["meta"])
        assert list(answer)[-1] == "meta"
        assert keys.index("freshness") == keys.index("staleness_seconds") + 1


def test_types_have_a_json_schema() -> None:
    for payload in (
        contracts.FundingPayload,
        contracts.FlowPayload,
        OpenInterestPayload,
        OhlcvPayload,
        PositioningPayload,
        LiquidationsPayload,
    ):
        _, components = msgspec.json.schema_components([payload])
        assert components["Thresholds"]["properties"]["value_from"]["description"]


def test_an_undocumented_field_is_refused() -> None:
    class Bare(msgspec.Struct):
        price: float

    with pytest.raises(TypeError, match="price has no documentation"):
        field_table(Bare, "m", {})


def test_a_meaning_for_no_field_is_refused() -> None:
    class Good(msgspec.Struct):
        pass

    assert doc("Price", "USD").description == "Price"
    with pytest.raises(KeyError, match="no such fields"):
        field_table(Good, "m", {"price": "x"})
