"""Deribit's units in ours. Pure.

Inverse listings (BTC-PERPETUAL, ETH-PERPETUAL) count amounts and open interest in USD: coins are amount /
price. Linear ones and options count coins. ``contract_size`` never multiplies an amount. Volatilities
arrive in percent, except in ``markprice.options``.
"""

from __future__ import annotations

from math import isfinite
from typing import Final

import msgspec

from apps.marketdata.events import (
    Event,
    FundingKind,
    FundingRate,
    Liquidation,
    OpenInterest,
    OptionQuote,
    OptionTrade,
    PositionSide,
    Quality,
    Side,
    Trade,
)
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.deribit import wire
from apps.venues.values import BadValue, UnknownValue

VENUE: Final = "deribit"
NS_PER_MS: Final = 1_000_000
HOUR_NS: Final = 3_600 * 1_000_000_000
RATE_HOURS: Final = 8.0
"""``current_funding`` and ``interest`` are rates per eight hours."""
HISTORY_HOURS: Final = 1.0
"""Rows of funding history are hourly; of theirs only ``interest_1h`` can be summed."""

_SIDES: Final = {"buy": Side.BUY, "sell": Side.SELL}
# Who was liquidated, by the taker's side: the taker who sells closes a long, the maker then a short.
_TAKER: Final = {Side.SELL: PositionSide.LONG, Side.BUY: PositionSide.SHORT}
_MAKER: Final = {Side.SELL: PositionSide.SHORT, Side.BUY: PositionSide.LONG}
_LIQUIDATED: Final = {"T": (_TAKER,), "M": (_MAKER,), "MT": (_TAKER, _MAKER)}


def base_qty(instrument: Instrument, amount: float, price: float) -> float:
    """Coins of an amount at a price."""
    return amount / price if instrument.is_inverse and not is_option(instrument) else amount


def is_option(instrument: Instrument) -> bool:
    return instrument.kind is InstrumentKind.OPTION


def fraction(percent: float | None) -> float | None:
    """A volatility; 0 (an empty side, an expired option) and less are none."""
    return percent / 100.0 if percent is not None and percent > 0 else None


def positive(value: float | None) -> float | None:
    """A price; 0 and less stand for none."""
    return value if value is not None and value > 0 else None


def trade_events(instrument: Instrument, m: wire.Trade, ts_recv: int) -> list[Event]:
    """A print, and who was liquidated by it."""
    if m.legs is not None:
        return []
    if m.price <= 0 or m.amount <= 0:
        raise BadValue(f"trade of {m.amount!r} at {m.price!r}")
    side = _SIDES.get(m.direction)
    if side is None:
        raise UnknownValue(f"direction={m.direction[:20]}")
    if m.liquidation is not None and m.liquidation not in _LIQUIDATED:
        raise UnknownValue(f"liquidation={m.liquidation[:20]}")
    ts_event = m.timestamp * NS_PER_MS
    qty = base_qty(instrument, m.amount, m.price)
    is_block = m.block_trade_id is not None
    events: list[Event]
    if is_option(instrument):
        events = [
            OptionTrade(
                instrument,
                ts_event,
                ts_recv,
                m.price,
                qty,
                side,
                m.trade_id,
                iv=fraction(m.iv),
                index_price=positive(m.index_price),
                mark_price=positive(m.mark_price),
                is_block=is_block,
                combo_id=m.combo_id or "",
            )
        ]
    else:
        events = [Trade(instrument, ts_event, ts_recv, m.price, qty, side, m.trade_id, is_block)]
    if m.liquidation is not None:
        usd = _notional_usd(instrument, m, qty)
        events += [
            Liquidation(
                instrument,
                ts_event,
                ts_recv,
                who[side],
                price=m.price,
                qty_base=qty,
                notional_usd=usd,
                quality=Quality.FULL,
                event_id=f"{m.trade_id}:{who[side].value}",
            )
            for who in _LIQUIDATED[m.liquidation]
        ]
    return events


def _notional_usd(instrument: Instrument, m: wire.Trade, qty: float) -> float:
    """USD of a print. An option's is its premium's value, which in coins needs the index."""
    if not instrument.is_inverse:
        return qty * m.price
    if not is_option(instrument):
        return m.amount
    index = positive(m.index_price)
    if index is None:
        raise BadValue("liquidation of an inverse option without an index price")
    return qty * m.price * index


def open_interest(
    instrument: Instrument, raw: float, mark: float, ts_event: int, ts_recv: int
) -> OpenInterest:
    """Open interest of a perpetual: USD as it is for inverse ones, coins otherwise; single-sided."""
    contracts = raw / instrument.contract_size
    base = base_qty(instrument, raw, mark)
    usd = raw if instrument.is_inverse else raw * mark
    return OpenInterest(instrument, ts_event, ts_recv, contracts, base, usd)


def predicted(instrument: Instrument, raw: str, ts_event: int, ts_recv: int) -> FundingRate:
    """The running rate. Funding is continuous: the coming full hour is where its history has a row."""
    due = (ts_event // HOUR_NS + 1) * HOUR_NS
    return FundingRate(
        instrument,
        ts_event,
        ts_recv,
        FundingKind.PREDICTED,
        rate=rate_from(raw),
        rate_raw=raw,
        interval_h=RATE_HOURS,
        funding_ts=due,
    )


def rate_from(text: str) -> float:
    """A funding rate as a decimal; raises :class:`BadValue` unless it is a finite number."""
    try:
        rate = float(text)
    except ValueError:
        rate = float("nan")
    if not isfinite(rate) or abs(rate) > 10:
        raise BadValue(f"funding rate {text[:20]!r}")
    return rate


def raw_text(raw: msgspec.Raw) -> str:
    """A number as the venue wrote it; empty where it is absent or null."""
    text = bytes(raw).decode("ascii", "replace")
    return "" if text == "null" else text


def option_quote(instrument: Instrument, m: wire.Ticker, ts_recv: int) -> OptionQuote:
    """An option's ticker."""
    if m.mark_price < 0:
        raise BadValue(f"mark price {m.mark_price!r}")
    greeks = m.greeks or wire.Greeks()
    if min(greeks.gamma or 0.0, greeks.vega or 0.0) < 0:
        raise BadValue("gamma or vega below 0")
    volume = m.stats.volume if m.stats is not None else None
    return OptionQuote(
        instrument,
        m.timestamp * NS_PER_MS,
        ts_recv,
        mark_price=m.mark_price,
        mark_iv=fraction(m.mark_iv),
        bid_price=positive(m.best_bid_price),
        ask_price=positive(m.best_ask_price),
        bid_iv=fraction(m.bid_iv),
        ask_iv=fraction(m.ask_iv),
        underlying_price=positive(m.underlying_price),
        underlying_index=m.underlying_index[:80],
        oi_base=m.open_interest or 0.0,
        volume_24h_base=max(volume, 0.0) if volume is not None else None,
        interest_rate=m.interest_rate,
        delta=greeks.delta,
        gamma=greeks.gamma,
        vega=greeks.vega,
        theta=greeks.theta,
        rho=greeks.rho,
    )
