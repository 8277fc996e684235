"""ccxt's unified funding and open-interest structures → events. Pure; None where a number is no number."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from apps.marketdata.events import FundingKind, FundingRate, MarkPrice, OpenInterest
from apps.marketdata.instruments import Instrument

NS_PER_MS: Final = 1_000_000
_HOUR_MS: Final = 3_600_000
_INTERVAL: Final = re.compile(r"(\d+(?:\.\d+)?)([hm])")


def number(value: object) -> float | None:
    """A finite number, however it is written."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def positive(value: object) -> float | None:
    found = number(value)
    return found if found is not None and found > 0 else None


def interval_h(text: object) -> float | None:
    """Hours of ccxt's interval words.

    >>> interval_h("8h"), interval_h("60m"), interval_h(None)
    (8.0, 1.0, None)
    """
    match = _INTERVAL.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    hours = float(match[1]) / (60 if match[2] == "m" else 1)
    return hours if hours > 0 else None


def mark_price(one: Instrument, said: Mapping[str, Any], ts_recv: int) -> MarkPrice | None:
    """Per one base unit, whatever the multiple that is quoted."""
    price = positive(said.get("markPrice"))
    if price is None:
        return None
    index = positive(said.get("indexPrice"))
    return MarkPrice(
        one,
        _ts(said, ts_recv),
        ts_recv,
        price / one.price_mult,
        None if index is None else index / one.price_mult,
    )


def predicted(
    one: Instrument, said: Mapping[str, Any], hours: float | None, ts_recv: int
) -> FundingRate | None:
    """The coming settlement's rate; without an interval it says nothing that can be compared."""
    rate = number(said.get("fundingRate"))
    hours = interval_h(said.get("interval")) or hours
    if rate is None or hours is None:
        return None
    coming = positive(said.get("fundingTimestamp")) or positive(said.get("nextFundingTimestamp"))
    now_ms = ts_recv // NS_PER_MS
    if coming is None or coming <= now_ms:
        # Settlements stand on the interval's own grid from midnight UTC.
        step = round(hours * _HOUR_MS)
        coming = (now_ms // step + 1) * step
    return FundingRate(
        one,
        _ts(said, ts_recv),
        ts_recv,
        FundingKind.PREDICTED,
        rate,
        raw_text(said, rate),
        hours,
        int(coming) * NS_PER_MS,
    )


def settled(one: Instrument, said: Mapping[str, Any], ts_recv: int) -> FundingRate | None:
    rate, ts_ms = number(said.get("fundingRate")), positive(said.get("timestamp"))
    if rate is None or ts_ms is None:
        return None
    ts = int(ts_ms) * NS_PER_MS
    text = raw_text(said, rate)
    return FundingRate(one, ts, ts_recv, FundingKind.SETTLED, rate, text, None, ts)


def raw_text(said: Mapping[str, Any], rate: float) -> str:
    """The venue's own string, where its answer holds the rate as one."""
    info = said.get("info")
    values = info.values() if isinstance(info, Mapping) else ()
    same = (v for v in values if isinstance(v, str) and number(v) == rate)
    return next(same, f"{rate:.12f}".rstrip("0").rstrip(".") or "0")[:32]


def open_interest(
    one: Instrument, said: Mapping[str, Any], mark: float | None, ts_recv: int
) -> OpenInterest | None:
    """Coins and USD out of amount and value.

    ccxt's ``openInterestAmount`` is contracts on some venues and coins on others: where the value is told
    too, the reading that it agrees with is taken; alone, it is contracts.
    """
    amount, usd = number(said.get("openInterestAmount")), number(said.get("openInterestValue"))
    if usd is not None and usd < 0:
        usd = None
    if amount is None or amount < 0:
        if usd is None or mark is None:
            return None
        coins = usd / mark
        contracts = coins / (one.contract_size * one.price_mult)
        return OpenInterest(one, _ts(said, ts_recv), ts_recv, contracts, coins, usd)
    contracts = amount
    coins = amount * one.contract_size * one.price_mult
    if usd and mark and amount:
        as_coins = amount * one.price_mult
        if abs(math.log(as_coins * mark / usd)) < abs(math.log(coins * mark / usd)):
            coins, contracts = as_coins, amount / one.contract_size
    return OpenInterest(one, _ts(said, ts_recv), ts_recv, contracts, coins, usd)


def _ts(said: Mapping[str, Any], ts_recv: int) -> int:
    ts_ms = positive(said.get("timestamp"))
    return ts_recv if ts_ms is None else min(int(ts_ms) * NS_PER_MS, ts_recv)
