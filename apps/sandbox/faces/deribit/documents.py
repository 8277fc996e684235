"""Deribit's documents that do not depend on the market: listings of instruments and currencies."""

from __future__ import annotations

from typing import Any, Final

from apps.sandbox.faces.deribit.listings import INDEX_NAMES, index_of
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.options.board import Contract

LISTED_MS: Final = 1_704_067_200_000
_NEVER_MS: Final = 32_503_708_800_000
CURRENCIES: Final = ("BTC", "ETH", "USDC")


def future(listing: Listing, number: int) -> dict[str, Any]:
    """A perpetual, or a dated one."""
    coin = listing.asset
    settled_in = coin if listing.is_inverse else "USDC"
    kind = "reversed" if listing.is_inverse else "linear"
    return {
        "price_index": index_of(listing),
        "kind": "future",
        "instrument_name": listing.symbol,
        "max_leverage": 50,
        "maker_commission": 0.0,
        "taker_commission": 0.0005,
        "instrument_type": kind,
        "expiration_timestamp": listing.expiry_ms or _NEVER_MS,
        "creation_timestamp": LISTED_MS,
        "is_active": True,
        "state": "open",
        "tick_size": listing.tick,
        "contract_size": listing.contract_size,
        "instrument_id": number,
        "min_trade_amount": listing.contract_size if listing.is_inverse else listing.lot,
        "future_type": kind,
        "max_liquidation_commission": 0.0075,
        "block_trade_commission": 0.00025,
        "block_trade_min_trade_amount": 200_000 if listing.is_inverse else 10_000,
        "block_trade_tick_size": listing.tick,
        "settlement_currency": settled_in,
        "settlement_period": "perpetual" if listing.is_perp else "month",
        "base_currency": coin,
        "counter_currency": "USD" if listing.is_inverse else "USDC",
        "quote_currency": "USD" if listing.is_inverse else "USDC",
        "tick_size_steps": [],
    }


def option(contract: Contract, *, is_open: bool = True) -> dict[str, Any]:
    terms = contract.terms
    money = terms.asset if terms.is_inverse else "USDC"
    return {
        "state": "open" if is_open else "closed",
        "price_index": INDEX_NAMES[terms.asset],
        "kind": "option",
        "instrument_name": contract.symbol,
        "maker_commission": 0.0003,
        "taker_commission": 0.0003,
        "instrument_type": "reversed" if terms.is_inverse else "linear",
        "expiration_timestamp": contract.expiry.at_ms,
        "is_active": is_open,
        "creation_timestamp": contract.expiry.listed_ms,
        "instrument_id": 1_000_000 + contract.number % 1_000_000_007,
        "tick_size": terms.tick,
        "contract_size": terms.contract_size,
        "strike": contract.strike,
        "base_currency": terms.asset,
        "quote_currency": money,
        "settlement_currency": money,
        "option_type": "call" if contract.is_call else "put",
        "min_trade_amount": terms.min_amount,
        "block_trade_commission": 0.0003,
        "block_trade_min_trade_amount": terms.block_amount,
        "block_trade_tick_size": terms.tick,
        "settlement_period": contract.expiry.period,
        "counter_currency": "USD" if terms.is_inverse else "USDC",
        "tick_size_steps": [
            {"tick_size": tick, "above_price": above} for tick, above in terms.ticks[1:]
        ],
    }


def currencies() -> list[dict[str, Any]]:
    return [
        {
            "currency": name,
            "currency_long": name,
            "coin_type": name if name != "USDC" else "ERC20",
            "min_confirmations": 1,
            "withdrawal_fee": 0.0,
            "min_withdrawal_fee": 0.0,
            "fee_precision": 4,
            "decimals": 8 if name != "USDC" else 6,
            "in_cross_collateral_pool": True,
            "withdrawal_priorities": [],
        }
        for name in CURRENCIES
    ]


def is_in(currency: str, own: str) -> bool:
    return currency in ("any", own)
