"""What Bybit's tickers say: all of it at first, then what has changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import numpy as np
import orjson

from apps.sandbox.faces.bybit.frames import trimmed
from apps.sandbox.market.candles import bars_until
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.protocol import DAY_MINUTES, MINUTE_MS, Market, MarkState, Touch

_STREAMED: Final = (
    "tickDirection", "price24hPcnt", "lastPrice", "prevPrice24h", "highPrice24h", "lowPrice24h",
    "prevPrice1h", "markPrice", "indexPrice", "openInterest", "openInterestValue", "turnover24h",
    "volume24h", "deliveryTime", "basisRate", "deliveryFeeRate", "predictedDeliveryPrice", "basis",
    "fundingIntervalHour", "fundingCap", "singleOpenInterest", "singleOpenInterestValue",
    "nextFundingTime", "fundingRate", "bid1Price", "bid1Size", "ask1Price", "ask1Size",
    "preOpenPrice", "preQty", "curPreListingPhase",
)  # fmt: skip
"""The stream's fields in its order; those of deliveries are told of dated contracts only."""
_LISTED: Final = (
    "lastPrice", "indexPrice", "markPrice", "prevPrice24h", "price24hPcnt", "highPrice24h",
    "lowPrice24h", "prevPrice1h", "openInterest", "openInterestValue", "singleOpenInterest",
    "singleOpenInterestValue", "turnover24h", "volume24h", "fundingRate", "nextFundingTime",
    "predictedDeliveryPrice", "basisRate", "deliveryFeeRate", "deliveryTime", "ask1Size",
    "bid1Price", "ask1Price", "bid1Size", "basis", "preOpenPrice", "preQty", "curPreListingPhase",
    "fundingIntervalHour", "basisRateYear", "fundingCap",
)  # fmt: skip
"""The list's, in its order."""
_SPOT_LISTED: Final = (
    "bid1Price", "bid1Size", "ask1Price", "ask1Size", "lastPrice", "prevPrice24h", "price24hPcnt",
    "highPrice24h", "lowPrice24h", "turnover24h", "volume24h", "usdIndexPrice",
)  # fmt: skip
_SPOT_STREAMED: Final = (
    "lastPrice", "highPrice24h", "lowPrice24h", "prevPrice24h", "volume24h", "turnover24h",
    "price24hPcnt", "usdIndexPrice",
)  # fmt: skip
_DELIVERY: Final = {
    "predictedDeliveryPrice": "", "basisRate": "", "deliveryFeeRate": "", "deliveryTime": "0",
    "basis": "", "basisRateYear": "",
}  # fmt: skip
_YEAR_MS: Final = 365 * 86_400_000


def ticker_push(listing: Listing, kind: str, now_ms: int, fields: dict[str, str]) -> bytes:
    symbol = listing.symbol
    if listing.kind == "spot":
        # Whole each time.
        rows = {"symbol": symbol, **fields}
        return orjson.dumps(
            {
                "topic": f"tickers.{symbol}",
                "ts": now_ms,
                "type": kind,
                "cs": now_ms * 100,
                "data": rows,
            }
        )
    return orjson.dumps(
        {
            "topic": f"tickers.{symbol}",
            "type": kind,
            "data": {"symbol": symbol, **fields},
            "cs": now_ms * 100,
            "ts": now_ms,
        }
    )


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
        at = datetime.fromtimestamp(listing.expiry_ms / 1000, tz=UTC)
        return {
            "nextFundingTime": "",
            "fundingRate": "",
            "deliveryTime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
            "basisRate": trimmed(state.mark_price / state.index_price - 1.0, 8),
            "deliveryFeeRate": "0.0005",
            "predictedDeliveryPrice": "0.00",
            "basis": f"{state.mark_price - state.index_price:.2f}",
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


def streamed(fields: dict[str, str]) -> dict[str, str]:
    """In the stream's order, without what it does not tell."""
    return {name: fields[name] for name in _STREAMED if name in fields}


def ticker_fields(market: Market, listing: Listing, now_ms: int) -> dict[str, str]:
    """All of the stream's."""
    state = market.mark_state(listing, now_ms)
    return streamed(
        {
            "tickDirection": "ZeroPlusTick",
            **price_fields(listing, *last_price(market, listing, now_ms), state),
            **position_fields(market, listing, state, now_ms),
            **day_fields(market, listing, now_ms),
            "fundingCap": "0.005",
            "preOpenPrice": "",
            "preQty": "",
            "curPreListingPhase": "",
        }
    )


def ticker_row(market: Market, listing: Listing, now_ms: int) -> dict[str, str]:
    """As ``/v5/market/tickers`` has it: deliveries in ms, and empty where there is none."""
    if listing.kind == "spot":
        fields = spot_fields(market, listing, now_ms)
        return {"symbol": listing.symbol, **{name: fields[name] for name in _SPOT_LISTED}}
    fields = {**_DELIVERY, "fundingIntervalHour": "", **ticker_fields(market, listing, now_ms)}
    if listing.expiry_ms is not None:
        years = max(listing.expiry_ms - now_ms, 1) / _YEAR_MS
        fields["deliveryTime"] = str(listing.expiry_ms)
        fields["basisRateYear"] = trimmed(float(fields["basisRate"]) / years, 8)
    return {"symbol": listing.symbol, **{name: fields[name] for name in _LISTED}}


def spot_fields(market: Market, listing: Listing, now_ms: int) -> dict[str, str]:
    state = market.mark_state(listing, now_ms)
    return {
        **price_fields(listing, *last_price(market, listing, now_ms), state),
        **day_fields(market, listing, now_ms),
        "usdIndexPrice": f"{state.index_price:.{listing.price_decimals + 2}f}",
    }


def spot_streamed(market: Market, listing: Listing, now_ms: int) -> dict[str, str]:
    fields = spot_fields(market, listing, now_ms)
    return {name: fields[name] for name in _SPOT_STREAMED}
