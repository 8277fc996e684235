"""The exchangeInfo documents, with the fields that clients read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from apps.sandbox.market.listing import Listing

LISTED_MS: Final = 1_704_067_200_000
_NEVER_MS: Final = 4_133_404_800_000
_QUARTER_MS: Final = 98 * 86_400_000
"""At the longest, from one delivery to the next."""
_UM_ORDER_TYPES: Final = [
    "LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET",
]  # fmt: skip
_SPOT_ORDER_TYPES: Final = [
    "LIMIT",
    "LIMIT_MAKER",
    "MARKET",
    "STOP_LOSS_LIMIT",
    "TAKE_PROFIT_LIMIT",
]


def um_exchange_info(listings: Iterable[Listing], now_ms: int) -> dict[str, Any]:
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, 2400),
            _limit("ORDERS", "MINUTE", 1, 1200),
            _limit("ORDERS", "SECOND", 10, 300),
        ],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [_um_symbol(listing, now_ms) for listing in listings],
    }


def cm_exchange_info(listings: Iterable[Listing], now_ms: int) -> dict[str, Any]:
    """As ``/dapi/v1/exchangeInfo``: sizes are contracts of ``contractSize`` USD."""
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": [_limit("REQUEST_WEIGHT", "MINUTE", 1, 2400)],
        "exchangeFilters": [],
        "symbols": [_cm_symbol(listing) for listing in listings],
    }


def _cm_symbol(listing: Listing) -> dict[str, Any]:
    price, *_ = _grid_filters(listing)
    size = {"minQty": "1", "maxQty": "1000000", "stepSize": "1"}
    return {
        "symbol": listing.symbol,
        "pair": listing.symbol.partition("_")[0],
        "contractType": "PERPETUAL",
        "deliveryDate": _NEVER_MS,
        "onboardDate": LISTED_MS,
        "contractStatus": "TRADING",
        "contractSize": round(listing.contract_size),
        "marginAsset": listing.asset,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": listing.asset,
        "quoteAsset": "USD",
        "pricePrecision": listing.price_decimals,
        "quantityPrecision": 0,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "equalQtyPrecision": 4,
        "triggerProtect": "0.0500",
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "filters": [
            price,
            {"filterType": "LOT_SIZE", **size},
            {"filterType": "MARKET_LOT_SIZE", **size},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        ],
        "orderTypes": _UM_ORDER_TYPES,
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def spot_exchange_info(listings: Iterable[Listing], now_ms: int) -> dict[str, Any]:
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, 6000),
            _limit("ORDERS", "SECOND", 10, 100),
            _limit("RAW_REQUESTS", "MINUTE", 5, 61000),
        ],
        "exchangeFilters": [],
        "symbols": [_spot_symbol(listing) for listing in listings],
    }


def _limit(kind: str, interval: str, count: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": count, "limit": limit}


def _grid_filters(listing: Listing) -> list[dict[str, Any]]:
    top = 100_000_000 // max(1, round(1 / listing.tick)) if listing.tick < 1 else 100_000_000
    price = {
        "filterType": "PRICE_FILTER",
        "minPrice": listing.price(1),
        "maxPrice": listing.price(max(top, 10_000) / listing.tick),
        "tickSize": listing.price(1),
    }
    size = {
        "minQty": listing.size(1),
        "maxQty": listing.size(10_000_000),
        "stepSize": listing.size(1),
    }
    return [
        price,
        {"filterType": "LOT_SIZE", **size},
        {"filterType": "MARKET_LOT_SIZE", **size},
    ]


def _contract_type(listing: Listing, now_ms: int) -> str:
    if listing.expiry_ms is None:
        return "PERPETUAL"
    return "CURRENT_QUARTER" if listing.expiry_ms - now_ms < _QUARTER_MS else "NEXT_QUARTER"


def _um_symbol(listing: Listing, now_ms: int) -> dict[str, Any]:
    pair = listing.symbol.partition("_")[0]
    return {
        "symbol": listing.symbol,
        "pair": pair,
        "contractType": _contract_type(listing, now_ms),
        "deliveryDate": listing.expiry_ms or _NEVER_MS,
        "onboardDate": LISTED_MS,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": pair.removesuffix(listing.quote),
        "quoteAsset": listing.quote,
        "marginAsset": listing.quote,
        "pricePrecision": listing.price_decimals,
        "quantityPrecision": listing.lot_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": [
            *_grid_filters(listing),
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": "1.0500",
                "multiplierDown": "0.9500",
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": _UM_ORDER_TYPES,
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }


def _spot_symbol(listing: Listing) -> dict[str, Any]:
    return {
        "symbol": listing.symbol,
        "status": "TRADING",
        "baseAsset": listing.symbol.removesuffix(listing.quote),
        "baseAssetPrecision": 8,
        "quoteAsset": listing.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": _SPOT_ORDER_TYPES,
        "icebergAllowed": True,
        "ocoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            *_grid_filters(listing),
            {
                "filterType": "NOTIONAL",
                "minNotional": "5.00000000",
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }
