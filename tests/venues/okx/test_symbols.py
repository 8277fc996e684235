"""Which swaps we follow, and how many coins a contract is."""

from __future__ import annotations

from typing import Any

import pytest

from apps.marketdata.instruments import InstrumentKind
from apps.venues.okx.symbols import Drop, NotUsable, instrument_of, listed_instruments, swaps_of


def row(base: str = "BTC", **changes: Any) -> dict[str, Any]:
    return {
        "instId": f"{base}-USDT-SWAP",
        "instType": "SWAP",
        "instFamily": f"{base}-USDT",
        "uly": f"{base}-USDT",
        "baseCcy": "",
        "quoteCcy": "",
        "settleCcy": "USDT",
        "ctVal": "0.01",
        "ctMult": "1",
        "ctValCcy": base,
        "ctType": "linear",
        "state": "live",
        "lotSz": "0.01",
        "tickSz": "0.1",
        "expTime": "",
        **changes,
    }


def test_contract_size_is_value_times_multiplier() -> None:
    rows = [row(), row("PEPE", ctVal="10000000", lotSz="0.1", tickSz="0.000000001")]
    found, drops = swaps_of(rows, assets=("BTC", "PEPE"), funding_intervals={"PEPE-USDT-SWAP": 4.0})
    btc, pepe = found
    assert drops == []
    assert (btc.contract_size, btc.lot_size, btc.tick_size) == (0.01, 0.0001, 0.1)
    assert (btc.funding_interval_h, btc.price_mult, btc.is_inverse) == (8.0, 1.0, False)
    assert (pepe.contract_size, pepe.lot_size, pepe.funding_interval_h) == (1e7, 1e6, 4.0)
    assert pepe.key == "okx:perp:PEPE-USDT-SWAP"
    (listed,) = listed_instruments([row(ctMult="10")])
    assert instrument_of(listed).contract_size == 0.1


def test_ton_is_not_gram() -> None:
    found, drops = swaps_of([row("TON"), row("GRAM", ctVal="1")], assets=("GRAM",))
    assert [item.symbol for item in found] == ["GRAM-USDT-SWAP"]
    assert drops == []
    _, drops = swaps_of([row("TON")], assets=("GRAM",))
    assert drops == [Drop("GRAM", None, "not listed")]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": "suspend"}, "state suspend"),
        ({"state": "preopen"}, "state preopen"),
        ({"settleCcy": "USDC"}, "settled in USDC"),
        ({"ctType": "inverse"}, "contract type inverse"),
        ({"ctVal": ""}, "ctVal ''"),
        ({"ctVal": "0"}, "ctVal '0'"),
        ({"ctVal": "nan"}, "ctVal 'nan'"),
        ({"ctValCcy": "USD"}, "contract value in USD, expected BTC"),
    ],
)
def test_what_cannot_be_followed_says_why(changes: dict[str, str], reason: str) -> None:
    found, drops = swaps_of([row(**changes)], assets=("BTC",))
    assert found == []
    assert drops == [Drop("BTC", "BTC-USDT-SWAP", reason)]


def test_other_listings_and_unreadable_rows_are_passed_over() -> None:
    rows: list[Any] = [
        {"instId": 5},
        None,
        [],
        row(instType="FUTURES"),
        row(instFamily="BTC-USD", uly=""),
        row(),
    ]
    found, _ = swaps_of(rows, assets=("BTC",))
    assert [item.symbol for item in found] == ["BTC-USDT-SWAP"]


def test_inverse_and_option_listings_convert_too() -> None:
    inverse = row(
        instId="BTC-USD-SWAP", instFamily="BTC-USD", uly="BTC-USD", settleCcy="BTC",
        ctVal="100", ctValCcy="USD", ctType="inverse",
    )  # fmt: skip
    option = row(
        instId="BTC-USD-241217-92000-C", instType="OPTION", instFamily="BTC-USD", settleCcy="BTC",
        ctVal="1", ctMult="0.01", ctType="", expTime="1734422400000", stk="92000", optType="C",
    )  # fmt: skip
    first, second = (instrument_of(one) for one in listed_instruments([inverse, option]))
    assert (first.is_inverse, first.contract_size, first.quote) == (True, 100.0, "USD")
    assert first.lot_size is None
    assert second.kind is InstrumentKind.OPTION
    assert (second.contract_size, second.strike, second.option_type) == (0.01, 92000.0, "call")
    assert second.expiry_ms == 1_734_422_400_000


def test_a_listing_of_no_known_kind() -> None:
    (listed,) = listed_instruments([row(instType="EVENTS")])
    with pytest.raises(NotUsable, match="EVENTS"):
        instrument_of(listed)
