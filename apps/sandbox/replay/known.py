"""The recordings of the captures folder that are played as they are, and their instruments.

Grids and contract sizes are those of the instrument lists recorded beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

_ALTS: Final = ("SUSHI", "AKRO", "KEEP", "CTK")


@dataclass(frozen=True, slots=True)
class Known:
    """Paths are relative to the captures folder; ``stems`` are in order of time."""

    venue: str
    connection: str
    stems: tuple[str, ...]
    instruments: tuple[dict[str, Any], ...] = ()
    depth: dict[str, str] = field(default_factory=dict)
    bodies: dict[str, str] = field(default_factory=dict)


def _bybit(asset: str, tick: float, lot: float) -> dict[str, Any]:
    return {
        "symbol": f"{asset}USDT",
        "asset": asset,
        "quote": "USDT",
        "kind": "perp",
        "tick_size": tick,
        "lot_size": lot,
        "funding_interval_h": 8,
    }


def _okx(symbol: str, kind: str, tick: float, lot: float, **more: Any) -> dict[str, Any]:
    asset, quote = symbol.split("-")[:2]
    grid = {"tick_size": tick, "lot_size": lot}
    return {"symbol": symbol, "asset": asset, "quote": quote, "kind": kind, **grid, **more}


def _option(symbol: str) -> dict[str, Any]:
    asset, expiry, strike, kind = symbol.split("-")
    # Deribit's options end at 08:00 UTC.
    day = datetime.strptime(f"{expiry.title()} 08+0000", "%d%b%y %H%z").astimezone(UTC)
    return {
        "symbol": symbol,
        "asset": asset,
        "quote": asset,
        "kind": "option",
        "tick_size": 0.0005,
        "lot_size": 0.1 if asset == "BTC" else 1.0,
        "is_inverse": True,
        "expiry_ms": int(day.timestamp()) * 1000,
        "strike": float(strike),
        "option_type": "call" if kind == "C" else "put",
    }


_BYBIT: Final = (
    _bybit("BTC", 0.1, 0.001),
    _bybit("ETH", 0.01, 0.01),
    _bybit("SOL", 0.01, 0.1),
    _bybit("DOGE", 0.00001, 1.0),
)
_OKX: Final = (
    _okx(
        "BTC-USD-220527",
        "future",
        0.1,
        1.0,
        contract_size=100.0,
        is_inverse=True,
        expiry_ms=1_653_638_400_000,
    ),
    _okx(
        "UNI-USD-SWAP",
        "perp",
        0.001,
        1.0,
        contract_size=10.0,
        is_inverse=True,
        funding_interval_h=8,
    ),
    _okx("BTC-USDT", "spot", 0.1, 0.00000001),
)
_DERIBIT: Final = tuple(
    _option(symbol)
    for symbol in (
        "ETH-30JUL21-2800-C",
        "ETH-27AUG21-4000-P",
        "ETH-23JUL21-2300-C",
        "BTC-31DEC21-34000-P",
        "BTC-31DEC21-300000-C",
        "BTC-30JUL21-24000-P",
        "BTC-25MAR22-30000-C",
        "BTC-24SEP21-8000-P",
        "BTC-24SEP21-34000-P",
        "BTC-24JUN22-15000-C",
    )
)
_HYPERLIQUID: Final = (
    {
        "symbol": "BTC",
        "asset": "BTC",
        "quote": "USDC",
        "kind": "perp",
        "tick_size": 1.0,
        "lot_size": 0.00001,
        "funding_interval_h": 1,
    },
)

KNOWN: Final[dict[str, Known]] = {
    "binance-usdm-btcusdt-20230404": Known(
        "binance",
        "um",
        ("binance/book/usdm_btcusdt_20230404", "binance/book/usdm_btcusdt_20230405"),
    ),
    "binance-usdm-btcusdt-20240808": Known(
        "binance", "um", ("binance/book/usdm_btcusdt_20240808",)
    ),
    "binance-spot-btcusdt-20240808": Known(
        "binance", "spot", ("binance/book/spot_btcusdt_20240808",)
    ),
    "binance-usdm-alts-20210722": Known(
        "binance",
        "um",
        ("binance/book/usdm_alts_20210722",),
        depth={
            f"{asset}USDT": f"binance/book/usdm_alts_20210722_depth_{asset}USDT.json"
            for asset in _ALTS
        },
    ),
    "bybit-linear-20260809": Known(
        "bybit",
        "main",
        ("bybit/book/linear_stream_20260809",),
        _BYBIT,
        bodies={"instruments": "bybit/instruments/instruments_info_linear_20260809.json.gz"},
    ),
    "okx-public-20220513": Known(
        "okx",
        "main",
        ("okx/book/ws_books_trades_tickers_20220513",),
        _OKX,
        bodies={
            "instruments_SWAP": "okx/instruments/instruments_SWAP_20220513.json",
            "instruments_FUTURES": "okx/instruments/instruments_FUTURES_20220513.json",
        },
    ),
    "deribit-options-20210722": Known(
        "deribit",
        "main",
        ("deribit/options/ws_options_raw_20210722",),
        _DERIBIT,
        bodies={
            "instruments_BTC": "deribit/instruments/get_instruments_BTC_20210722.json.gz",
            "instruments_ETH": "deribit/instruments/get_instruments_ETH_20210722.json.gz",
        },
    ),
    "hyperliquid-btc-20250126": Known(
        "hyperliquid",
        "main",
        ("hyperliquid/book/btc_l2book_trades_20250126",),
        _HYPERLIQUID,
        bodies={"meta": "hyperliquid/instruments/meta_full.json"},
    ),
}
