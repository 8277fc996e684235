"""Deribit's documents that do not depend on the market: listings of instruments and currencies."""

from __future__ import annotations

from typing import Any, Final

from apps.sandbox.faces.deribit.listings import INDEX_NAMES, currency_of
from apps.sandbox.faces.deribit.options import OptionListing
from apps.sandbox.market.listing import Listing

LISTED_MS: Final = 1_704_067_200_000
_NEVER_MS: Final = 32_503_708_800_000
CURRENCIES: Final = ("BTC", "ETH", "USDC")


def perpetual(listing: Listing, number: int) -> dict[str, Any]:
    coin = listing.asset
    settled_in = coin if listing.is_inverse else "USDC"
    kind = "reversed" if listing.is_inverse else "linear"
    return {
        "price_index": INDEX_NAMES[coin],
        "kind": "future",
        "instrument_name": listing.symbol,
        "max_leverage": 50,
        "maker_commission": 0.0,
        "taker_commission": 0.0005,
        "instrument_type": kind,
        "expiration_timestamp": _NEVER_MS,
        "creation_timestamp": LISTED_MS,
        "is_active": True,
        "state": "open",
        "tick_size": listing.tick,
        "contract_size": listing.contract_size,
        "instrument_id": number,
        "min_trade_amount": listing.contract_size if listing.is_inverse else listing.lot,
        "future_type": kind,
        "max_liquidation_commission": 0.0075,
        "settlement_currency": settled_in,
        "settlement_period": "perpetual",
        "base_currency": coin,
        "counter_currency": "USD" if listing.is_inverse else "USDC",
        "quote_currency": "USD" if listing.is_inverse else "USDC",
        "tick_size_steps": [],
    }


def option(listing: OptionListing, number: int) -> dict[str, Any]:
    money = listing.asset if listing.is_inverse else "USDC"
    return {
        "price_index": INDEX_NAMES[listing.asset],
        "kind": "option",
        "instrument_name": listing.symbol,
        "option_type": "call" if listing.is_call else "put",
        "strike": listing.strike,
        "maker_commission": 0.0003,
        "taker_commission": 0.0003,
        "instrument_type": "reversed" if listing.is_inverse else "linear",
        "expiration_timestamp": listing.expiry_ms,
        "creation_timestamp": LISTED_MS,
        "is_active": True,
        "state": "open",
        "tick_size": listing.tick,
        "contract_size": listing.contract_size,
        "instrument_id": number,
        "min_trade_amount": listing.min_amount,
        "settlement_currency": money,
        "settlement_period": "week",
        "base_currency": listing.asset,
        "counter_currency": "USD" if listing.is_inverse else "USDC",
        "quote_currency": money,
        "tick_size_steps": [],
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


def listing_currency(listing: Listing | OptionListing) -> str:
    return listing.currency if isinstance(listing, OptionListing) else currency_of(listing)
