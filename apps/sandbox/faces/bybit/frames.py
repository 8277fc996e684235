"""Bybit's pushes of the market model, and what tickers say. Written by hand: the time goes here."""

from __future__ import annotations

from typing import Any, Final

from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import key_of
from apps.sandbox.market.protocol import Book, ForcedOrder

DEPTHS: Final = (1, 50, 200, 1_000)
Levels = list[tuple[int, int]]


def trimmed(value: float, decimals: int) -> str:
    """A number without zeros at the end, as tickers have sizes and rates."""
    text = f"{value:.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def sides(book: Book, depth: int) -> tuple[Levels, Levels]:
    """Best bids and asks of a book, best first."""
    return sorted(book.bids.items(), reverse=True)[:depth], sorted(book.asks.items())[:depth]


def book_data(listing: Listing, step: int, number: int, bids: Levels, asks: Levels) -> str:
    """``number``: the message's own (``u``). ``seq``, of the whole venue, never falls."""
    both = [
        ",".join(
            [
                f'["{listing.price(ticks)}","{listing.size(lots) if lots else 0}"]'
                for ticks, lots in levels
            ]
        )
        for levels in (bids, asks)
    ]
    return (
        f'{{"s":"{listing.symbol}","b":[{both[0]}],"a":[{both[1]}],"u":{number},"seq":{step * 37}}}'
    )


def book_push(listing: Listing, depth: int, kind: str, time_ms: int, data: str) -> bytes:
    """``data``: as :func:`book_data` makes it."""
    return (
        f'{{"topic":"orderbook.{depth}.{listing.symbol}","type":"{kind}","ts":{time_ms},'
        f'"data":{data},"cts":{time_ms}}}'
    ).encode()


def direction(price: int, previous: int, before: str) -> str:
    """``L``: against the trade before; the same price keeps the last change's sign."""
    if price > previous:
        return "PlusTick"
    if price < previous:
        return "MinusTick"
    return "ZeroMinusTick" if "Minus" in before else "ZeroPlusTick"


def trade_row(
    listing: Listing, number: int, time_ms: int, price: int, lots: int, buy: bool, tick: str
) -> str:
    """``tick`` (``L``) is told of contracts only."""
    side = "Buy" if buy else "Sell"
    moved = "" if listing.kind == "spot" else f'"L":"{tick}",'
    return (
        f'{{"T":{time_ms},"s":"{listing.symbol}","S":"{side}","v":"{listing.size(lots)}",'
        f'"p":"{listing.price(price)}",{moved}"i":"{trade_id(number)}","BT":false,'
        f'"RPI":false,"seq":{number}}}'
    )


def trade_id(number: int) -> str:
    """In the form of a UUID."""
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def push(topic: str, symbol: str, now_ms: int, rows: str) -> bytes:
    return (
        f'{{"topic":"{topic}.{symbol}","type":"snapshot","ts":{now_ms},"data":[{rows}]}}'
    ).encode()


def candle_push(topic: str, symbol: str, now_ms: int, row: str) -> bytes:
    """The one push whose data come before its time."""
    return (
        f'{{"topic":"{topic}.{symbol}","data":[{row}],"ts":{now_ms},"type":"snapshot"}}'
    ).encode()


def candle_row(name: str, start: int, end: int, row: list[str], closed: bool, now_ms: int) -> str:
    """``row``: open, high, low, close, volume, turnover."""
    o, h, low, c, volume, turnover = row
    return (
        f'{{"start":{start},"end":{end},"interval":"{name}","open":"{o}","close":"{c}","high":"{h}",'
        f'"low":"{low}","volume":"{volume}","turnover":"{turnover}",'
        f'"confirm":{"true" if closed else "false"},"timestamp":{now_ms}}}'
    )


def liquidation_row(listing: Listing, order: ForcedOrder) -> str:
    """``S`` is the position's side: what a buy closes is a short. Bankruptcy lies beyond the fill."""
    price = listing.price(order.price * (1.004 if order.is_buy else 0.996))
    side = "Sell" if order.is_buy else "Buy"
    return (
        f'{{"T":{order.time_ms},"s":"{listing.symbol}","S":"{side}",'
        f'"v":"{listing.size(order.lots)}","p":"{price}"}}'
    )


def instrument_row(listing: Listing) -> dict[str, Any]:
    """As ``/v5/market/instruments-info`` lists it; ``fundingInterval`` is in minutes."""
    tick, lot = listing.price(1), listing.size(1)
    contract = "LinearPerpetual" if listing.is_perp else "LinearFutures"
    return {
        "symbol": listing.symbol, "contractType": contract, "status": "Trading",
        "baseCoin": listing.symbol.partition("-")[0].removesuffix(listing.quote),
        "quoteCoin": listing.quote, "launchTime": "1704067200000",
        "deliveryTime": str(listing.expiry_ms or 0), "deliveryFeeRate": "",
        "priceScale": str(listing.price_decimals),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "50.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": tick, "maxPrice": listing.price(10_000_000), "tickSize": tick},
        "lotSizeFilter": {
            "maxOrderQty": listing.size(1_000_000), "minOrderQty": lot, "qtyStep": lot,
            "postOnlyMaxOrderQty": listing.size(1_000_000), "maxMktOrderQty": listing.size(100_000),
            "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": (listing.funding_interval_h or 8) * 60 if listing.is_perp else 0,
        "settleCoin": listing.quote, "copyTrading": "both", "upperFundingRate": "0.005",
        "lowerFundingRate": "-0.005", "isPreListing": False, "preListingInfo": None,
        "riskParameters": {"priceLimitRatioX": "0.05", "priceLimitRatioY": "0.1"},
        "displayName": "", "symbolType": "", "forbidUplWithdrawal": False,
        "symbolId": key_of(0, listing.name) % 10_000,
    }  # fmt: skip


def spot_row(listing: Listing) -> dict[str, Any]:
    """As the list of ``category=spot`` has it."""
    return {
        "symbol": listing.symbol, "baseCoin": listing.asset, "quoteCoin": listing.quote,
        "innovation": "0", "status": "Trading", "marginTrading": "utaOnly", "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": listing.size(1), "quotePrecision": "0.0000001",
            "minOrderQty": listing.size(1), "maxOrderQty": listing.size(10_000_000),
            "minOrderAmt": "5", "maxOrderAmt": "4000000",
        },
        "priceFilter": {"tickSize": listing.price(1)},
        "riskParameters": {"priceLimitRatioX": "0.05", "priceLimitRatioY": "0.1"},
        "symbolType": "",
    }  # fmt: skip
