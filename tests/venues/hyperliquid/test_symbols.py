"""Names, multiples, grids and what is left out."""

from __future__ import annotations

import json

import pytest

from apps.venues.hyperliquid.symbols import instruments_from_meta, split_multiple, tick_of
from tests.venues.adapter_contract import FIXTURES


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BTC", ("BTC", 1.0)),
        ("kPEPE", ("PEPE", 1000.0)),
        ("kSHIB", ("SHIB", 1000.0)),
        ("kBONK", ("BONK", 1000.0)),
        ("kFLOKI", ("FLOKI", 1000.0)),
        ("KPEPE", None),
        ("kNEIRO", None),
        ("xyz:BTC", None),
        ("@142", None),
        ("TON", None),
        ("k", None),
    ],
)
def test_names(name: str, expected: tuple[str, float] | None) -> None:
    assert split_multiple(name) == expected


@pytest.mark.parametrize(
    ("price", "size_decimals", "tick"),
    [
        (105_055.0, 5, 1.0),
        (3_000.5, 4, 0.1),
        (31.8, 2, 0.001),
        (0.2214, 1, 1e-5),
        (0.0085, 0, 1e-6),
        (0.0, 2, 1e-4),
    ],
)
def test_ticks_follow_five_digits_and_six_decimals(
    price: float, size_decimals: int, tick: float
) -> None:
    assert tick_of(price, size_decimals) == tick


def test_instruments_and_drops() -> None:
    meta, states = json.loads((FIXTURES / "hyperliquid" / "meta_and_asset_ctxs.json").read_bytes())
    listed, drops = instruments_from_meta(meta, states)
    assert [(one.symbol, one.asset, one.price_mult) for one in listed] == [
        ("BTC", "BTC", 1.0),
        ("ETH", "ETH", 1.0),
        ("SOL", "SOL", 1.0),
        ("kPEPE", "PEPE", 1000.0),
    ]
    pepe = listed[3]
    # Per single token: a tick of 0.000001 for a thousand, a lot of one thousand.
    assert (pepe.tick_size, pepe.lot_size) == (1e-9, 1000.0)
    assert {one.funding_interval_h for one in listed} == {1.0}
    assert {one.quote for one in listed} == {"USDC"}
    why = {drop.asset: (drop.symbol, drop.reason) for drop in drops}
    assert why["LDO"] == ("LDO", "delisted")
    assert why["GRAM"] == (None, "not listed")
    assert len(listed) + len(drops) == 65


def test_an_unreadable_entry_keeps_its_place() -> None:
    meta = {"universe": [{"name": 7}, {"name": "BTC", "szDecimals": 5}]}
    (btc,), _ = instruments_from_meta(meta, [{"markPx": "1.0"}, {"markPx": "90000.0"}])
    assert btc.tick_size == 1.0
    assert instruments_from_meta(None)[0] == []
    assert instruments_from_meta({"universe": "no"})[0] == []
