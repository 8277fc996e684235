"""exchangeInfo turns into instruments, and what is missing is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec
import pytest

from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.universe import ASSETS
from apps.venues.binance.parse import Market
from apps.venues.binance.symbols import instruments_from_exchange_info, split_multiple
from tests.venues.adapter_contract import FIXTURES


def body(name: str) -> dict[str, object]:
    return msgspec.json.decode((FIXTURES / "binance" / name).read_bytes(), type=dict[str, object])


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("BTC", ("BTC", 1.0)),
        ("1000PEPE", ("PEPE", 1e3)),
        ("1000SHIB", ("SHIB", 1e3)),
        ("1000000PEPE", ("PEPE", 1e6)),
        ("1MPEPE", ("PEPE", 1e6)),
        ("1INCH", None),
        ("10000", None),
        ("100PEPE", None),
        ("ABC", None),
        ("", None),
    ],
)
def test_multiples(base: str, expected: tuple[str, float] | None) -> None:
    assert split_multiple(base) == expected


def test_um_keeps_trading_usdt_perpetuals() -> None:
    instruments, drops = instruments_from_exchange_info(
        body("exchange_info_um.json"), Market.UM, funding_intervals={"1000PEPEUSDT": 4.0}
    )
    assert [item.symbol for item in instruments] == ["BTCUSDT", "1000PEPEUSDT", "GRAMUSDT"]
    btc, pepe, gram = instruments
    assert (btc.tick_size, btc.lot_size, btc.funding_interval_h) == (0.1, 0.001, 8.0)
    assert (pepe.asset, pepe.price_mult, pepe.funding_interval_h) == ("PEPE", 1000.0, 4.0)
    assert pepe.tick_size == 1e-10
    assert pepe.lot_size == 1000.0
    assert gram.asset == "GRAM"
    reasons = {drop.asset: drop.reason for drop in drops}
    assert len(reasons) == len(ASSETS) - 3
    assert reasons["LDO"] == "status SETTLING"
    assert reasons["UNI"] == "contract type TRADIFI_PERPETUAL"
    assert reasons["ETH"] == "not listed"


def test_spot_quotes_single_tokens() -> None:
    instruments, drops = instruments_from_exchange_info(
        body("exchange_info_spot.json"), Market.SPOT
    )
    assert [(item.symbol, item.price_mult, item.kind) for item in instruments] == [
        ("BTCUSDT", 1.0, InstrumentKind.SPOT),
        ("PEPEUSDT", 1.0, InstrumentKind.SPOT),
    ]
    assert instruments[0].funding_interval_h is None
    assert {drop.asset: drop.reason for drop in drops}["LDO"] == "status BREAK"


@pytest.mark.parametrize(
    "nonsense", [{}, {"symbols": []}, {"symbols": [None, 3, {}, {"symbol": ""}]}]
)
def test_nonsense_lists_nothing(nonsense: dict[str, object]) -> None:
    instruments, drops = instruments_from_exchange_info(nonsense, Market.UM)
    assert instruments == []
    assert len(drops) == len(ASSETS)


def test_recorded_exchange_info(captures_dir: Path) -> None:
    path = captures_dir / "binance" / "instruments" / "usdm_exchangeInfo_20210722.json.gz"
    recorded = msgspec.json.decode(gzip.decompress(path.read_bytes()))
    instruments, drops = instruments_from_exchange_info(recorded, Market.UM)
    by_asset = {item.asset: item for item in instruments}
    assert by_asset["BTC"].tick_size == 0.01
    assert by_asset["SHIB"].symbol == "1000SHIBUSDT"
    assert by_asset["SHIB"].price_mult == 1000.0
    assert len(instruments) + len(drops) == len(ASSETS)
