"""Bybit's pushes of the market model, and what tickers say. Written by hand: the time goes here."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import orjson

from apps.sandbox.market.candles import bars_until
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.protocol import (
    DAY_MINUTES,
    MINUTE_MS,
    Book,
    ForcedOrder,
    Market,
    MarkState,
    Touch,
)

DEPTHS: Final = (1, 50, 200, 1_000)
Levels = list[tuple[int, int]]


def trimmed(value: float, decimals: int) -> str:
    """A number without zeros at the end, as tickers have sizes and rates."""
    text = f"{value:.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def number_of(step: int) -> int:
    """``u`` of a book: a pure function of its step, so that every reader agrees; one more each step."""
    return step


def sides(book: Book, depth: int) -> tuple[Levels, Levels]:
    """Best bids and asks of a book, best first."""
    return sorted(book.bids.items(), reverse=True)[:depth], sorted(book.asks.items())[:depth]


def book_data(listing: Listing, step: int, bids: Levels, asks: Levels) -> str:
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
        f'{{"s":"{listing.symbol}","b":[{both[0]}],"a":[{both[1]}],"u":{number_of(step)},'
        f'"seq":{number_of(step) * 37}}}'
    )


def book_push(
    listing: Listing, depth: int, kind: str, time_ms: int, step: int, bids: Levels, asks: Levels
) -> bytes:
    return (
        f'{{"topic":"orderbook.{depth}.{listing.symbol}","type":"{kind}","ts":{time_ms},'
        f'"data":{book_data(listing, step, bids, asks)},"cts":{time_ms}}}'
    ).encode()


def trade_row(listing: Listing, number: int, time_ms: int, price: int, lots: int, buy: bool) -> str:
    side = "Buy" if buy else "Sell"
    return (
        f'{{"T":{time_ms},"s":"{listing.symbol}","S":"{side}","v":"{listing.size(lots)}",'
        f'"p":"{listing.price(price)}","L":"ZeroPlusTick","i":"{trade_id(number)}","BT":false,'
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


def liquidation_row(listing: Listing, order: ForcedOrder) -> str:
    """``S`` is the position's side: what a buy closes is a short. Bankruptcy lies beyond the fill."""
    price = listing.price(order.price * (1.004 if order.is_buy else 0.996))
    side = "Sell" if order.is_buy else "Buy"
    return (
        f'{{"T":{order.time_ms},"s":"{listing.symbol}","S":"{side}",'
        f'"v":"{listing.size(order.lots)}","p":"{price}"}}'
    )


def ticker_push(symbol: str, kind: str, now_ms: int, fields: dict[str, str]) -> bytes:
    return orjson.dumps(
        {
            "topic": f"tickers.{symbol}",
            "type": kind,
            "data": {"symbol": symbol, **fields},
            "cs": now_ms * 100,
            "ts": now_ms,
        }
    )


# --- what a ticker says ------------------------------------------------------------------------------


def price_fields(listing: Listing, touch: Touch, last: int, state: MarkState) -> dict[str, str]:
    decimals = listing.price_decimals + 1
    return {
        "lastPrice": listing.price(last),
        "markPrice": f"{state.mark_price:.{decimals}f}",
        "indexPrice": f"{state.index_price:.{decimals}f}",
        "bid1Price": listing.price(touch.bid),
        "bid1Size": listing.size(10 + touch.bid % 7),
        "ask1Price": listing.price(touch.ask),
        "ask1Size": listing.size(10 + touch.ask % 7),
    }


def position_fields(
    market: Market, listing: Listing, state: MarkState, now_ms: int
) -> dict[str, str]:
    """``openInterest`` counts both sides, as the venue's does."""
    lots = float(market.open_interest(listing, np.array([now_ms], dtype=np.int64))[0])
    coins = lots * listing.lot
    both = listing.size(2 * round(lots))
    return {
        "openInterest": both,
        "openInterestValue": f"{2 * coins * state.mark_price:.2f}",
        "singleOpenInterest": listing.size(round(lots)),
        "singleOpenInterestValue": f"{coins * state.mark_price:.2f}",
        **_funding_fields(listing, state),
    }


def _funding_fields(listing: Listing, state: MarkState) -> dict[str, str]:
    """A dated contract has none, and says when it is delivered."""
    if listing.expiry_ms is not None:
        basis = state.mark_price / state.index_price - 1.0
        return {
            "nextFundingTime": "",
            "fundingRate": "",
            "fundingIntervalHour": "",
            "deliveryTime": str(listing.expiry_ms),
            "basisRate": trimmed(basis, 8),
        }
    return {
        "nextFundingTime": str(state.next_funding_ms),
        "fundingRate": trimmed(state.funding_rate, 8),
        "fundingIntervalHour": str(listing.funding_interval_h or 8),
    }


def day_fields(market: Market, listing: Listing, now_ms: int) -> dict[str, str]:
    """Rolling 24 h: coins and USDT."""
    current = now_ms // MINUTE_MS
    bars = bars_until(
        market, listing, current - DAY_MINUTES + 1, current, now_ms, exact_from=current
    )
    opened, last = int(bars.open[0]), int(bars.close[-1])
    return {
        "price24hPcnt": f"{last / opened - 1:.6f}",
        "prevPrice24h": listing.price(opened),
        "highPrice24h": listing.price(int(bars.high.max())),
        "lowPrice24h": listing.price(int(bars.low.min())),
        "prevPrice1h": listing.price(int(bars.open[-60])) if len(bars) >= 60 else "",
        "turnover24h": f"{float(bars.quote.sum()):.4f}",
        "volume24h": f"{float(bars.volume.sum()) * listing.lot:.4f}",
    }


def last_price(market: Market, listing: Listing, now_ms: int) -> tuple[Touch, int]:
    """The touch, and the price of the last trade."""
    minute = now_ms // MINUTE_MS
    tape = market.tape(listing, minute)
    at = int(np.searchsorted(tape.time_ms, now_ms, side="right")) - 1
    if at < 0:
        tape = market.tape(listing, minute - 1)
    return market.touch(listing, now_ms), int(tape.price[at])


def ticker_fields(market: Market, listing: Listing, now_ms: int) -> dict[str, str]:
    """All of them."""
    state = market.mark_state(listing, now_ms)
    return {
        "tickDirection": "ZeroPlusTick",
        **price_fields(listing, *last_price(market, listing, now_ms), state),
        **position_fields(market, listing, state, now_ms),
        **day_fields(market, listing, now_ms),
        "fundingCap": "0.005",
        "preOpenPrice": "",
        "preQty": "",
        "curPreListingPhase": "",
    }


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
        "displayName": "", "symbolType": "",
    }  # fmt: skip
