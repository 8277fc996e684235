"""Names of channels, and options."""

from __future__ import annotations

from typing import Any

import pytest

from apps.feed.options import at_least, one_or_many, predicate
from apps.feed.registry import all_specs, channel_names, register, resolve
from tests.feed.conftest import BOOKS, EVENTS


def test_a_name_resolves_to_its_spec_and_parameters() -> None:
    channel = resolve("testing.BTC")
    assert channel is not None
    assert channel.spec is EVENTS
    assert channel.params == {"asset": "BTC"}
    tail = resolve("testbook.ETH.5m")
    assert tail is not None
    assert tail.params == {"asset": "ETH", "tf": "5m"}
    without = resolve("testbook.ETH")
    assert without is not None
    assert without.params == {"asset": "ETH"}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "testing",
        "testing.",
        "testing.XYZ",
        "testing.BTC.",
        "testing.BTC.5m",
        "testbook.BTC.2m",
        "testing.btc",
        "testing.BTC\n",
        "xtesting.BTC",
        "testing{BTC",
    ],
)
def test_other_names_are_none(name: str) -> None:
    assert resolve(name) is None
    assert resolve(name * 20) is None


def test_every_name_of_a_spec_resolves() -> None:
    assert channel_names(BOOKS) == ["testbook.BTC", "testbook.ETH"]
    for spec in all_specs():
        for name in channel_names(spec):
            found = resolve(name)
            assert found is not None
            assert found.spec is spec


def test_a_pattern_names_its_parameters() -> None:
    with pytest.raises(ValueError, match="pattern has"):
        register(type(EVENTS)(**{**_fields(EVENTS), "params": {}}))


def _fields(spec: Any) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in spec.__dataclass_fields__}


VENUE = one_or_many("exchange", "exchange", ("binance", "okx"), "")
SIZE = at_least("min_amount_usd", "amount_usd", "")


@pytest.mark.parametrize("value", [None, 1, "kraken", [], ["okx", "kraken"], [1], {"a": 1}])
def test_a_venue_must_be_known(value: Any) -> None:
    with pytest.raises(ValueError, match="one of binance, okx"):
        VENUE.parse(value)


@pytest.mark.parametrize("value", [None, "5", True, -1, float("nan"), float("inf"), 1e16, [1]])
def test_a_size_must_be_a_number(value: Any) -> None:
    with pytest.raises(ValueError, match="a number"):
        SIZE.parse(value)


def test_options_together_ask_for_all() -> None:
    accepts = predicate([(VENUE, VENUE.parse("okx")), (SIZE, SIZE.parse(100))])
    assert accepts is not None
    assert accepts({"exchange": "okx", "amount_usd": 100})
    assert not accepts({"exchange": "okx", "amount_usd": 99.9})
    assert not accepts({"exchange": "binance", "amount_usd": 500})
    assert not accepts({"exchange": "okx"})
    assert predicate([]) is None
