"""OKX's rows of the market model: contracts, trimmed strings. Written by hand: the time goes here."""

from __future__ import annotations

from dataclasses import dataclass, field

from apps.sandbox.market.listing import Listing
from apps.sandbox.market.protocol import Book, ForcedOrder, MarkState

SEQS_PER_STEP = 7
HOUR_MS = 3_600_000
INST_TYPES = {"perp": "SWAP", "future": "FUTURES", "spot": "SPOT", "option": "OPTION"}


def trimmed(value: float, decimals: int) -> str:
    """A number as the venue writes it: no zeros at the end."""
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(slots=True)
class Wire:
    """One listing's prices and sizes as strings; sizes are lots in, contracts out."""

    listing: Listing
    lot_contracts: float = field(init=False)
    lot_decimals: int = field(init=False)

    def __post_init__(self) -> None:
        self.lot_contracts = float(f"{self.listing.lot / self.listing.contract_size:.12g}")
        self.lot_decimals = 0 if self.lot_contracts >= 1 else 1 if self.lot_contracts >= 0.1 else 2

    @property
    def inst_type(self) -> str:
        return INST_TYPES[self.listing.kind]

    @property
    def index(self) -> str:
        """The pair: ``BTC-USDT`` of ``BTC-USDT-SWAP``."""
        return "-".join(self.listing.symbol.split("-")[:2])

    def price(self, ticks: float) -> str:
        return trimmed(ticks * self.listing.tick, self.listing.price_decimals)

    def size(self, lots: float) -> str:
        """Contracts; of inverse ones the least, whatever is asked for."""
        if self.listing.is_inverse:
            return "1"
        return trimmed(lots * self.lot_contracts, self.lot_decimals)

    def contracts(self, lots: float, price: float) -> str:
        """Their number at a price; only an inverse contract's worth depends on it."""
        if not self.listing.is_inverse:
            return self.size(lots)
        return self.worth(lots * self.listing.lot * price) if lots else "0"

    def worth(self, usd: float) -> str:
        """How many inverse contracts so many USD are."""
        return str(max(1, round(usd / self.listing.contract_size)))

    def traded(self, lots: float, turnover: float) -> str:
        """Contracts of a volume in lots, which cost so much."""
        return self.worth(turnover) if self.listing.is_inverse else self.size(lots)

    def coins(self, lots: float) -> str:
        return trimmed(lots * self.listing.lot, self.listing.lot_decimals)

    def quote(self, value: float) -> str:
        """A price off the tick grid: mark and index."""
        return trimmed(value, self.listing.price_decimals + 2)

    def levels(self, levels: list[tuple[int, int]]) -> str:
        price, size = self.price, self.size
        if self.listing.is_inverse:
            tick = self.listing.tick
            return ",".join(
                [
                    f'["{price(ticks)}","{self.contracts(lots, ticks * tick)}","0",'
                    f'"{1 + lots % 9 if lots else 0}"]'
                    for ticks, lots in levels
                ]
            )
        return ",".join(
            [
                f'["{price(ticks)}","{size(lots)}","0","{1 + lots % 9 if lots else 0}"]'
                for ticks, lots in levels
            ]
        )


def push(channel: str, subject: str, rows: str, action: str = "") -> bytes:
    word = f'"action":"{action}",' if action else ""
    return (
        f'{{"arg":{{"channel":"{channel}","instId":"{subject}"}},{word}"data":[{rows}]}}'
    ).encode()


def book_row(
    wire: Wire,
    time_ms: int,
    seq: int,
    previous: int,
    bids: list[tuple[int, int]],
    asks: list[tuple[int, int]],
) -> str:
    """``checksum`` is 0 at the venue too."""
    return (
        f'{{"asks":[{wire.levels(asks)}],"bids":[{wire.levels(bids)}],"ts":"{time_ms}",'
        f'"checksum":0,"prevSeqId":{previous},"seqId":{seq}}}'
    )


def sides(book: Book, depth: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Best bids and asks of a book, best first."""
    return sorted(book.bids.items(), reverse=True)[:depth], sorted(book.asks.items())[:depth]


def top_row(wire: Wire, book: Book, depth: int, seq: int) -> str:
    """``bbo-tbt`` and ``books5``: whole each time, without a chain."""
    bids, asks = sides(book, depth)
    return (
        f'{{"asks":[{wire.levels(asks)}],"bids":[{wire.levels(bids)}],"ts":"{book.time_ms}",'
        f'"seqId":{seq}}}'
    )


def trade_row(
    wire: Wire, number: int, time_ms: int, price: int, lots: int, is_buy: bool, count: int = 0
) -> str:
    """``count``: of the fills that were merged; 0 where each comes alone."""
    merged = f'"count":"{count}",' if count else ""
    return (
        f'{{"instId":"{wire.listing.symbol}","tradeId":"{number}","px":"{wire.price(price)}",'
        f'"sz":"{wire.contracts(lots, price * wire.listing.tick)}",'
        f'"side":"{"buy" if is_buy else "sell"}","ts":"{time_ms}",{merged}"source":"0"}}'
    )


def mark_row(wire: Wire, state: MarkState, now_ms: int) -> str:
    return (
        f'{{"instType":"{wire.inst_type}","instId":"{wire.listing.symbol}",'
        f'"markPx":"{wire.quote(state.mark_price)}","ts":"{now_ms}"}}'
    )


def index_row(wire: Wire, state: MarkState, now_ms: int) -> str:
    price = wire.quote(state.index_price)
    others = "".join(
        f'"{name}":"{price}",' for name in ("high24h", "low24h", "open24h", "sodUtc0", "sodUtc8")
    )
    return f'{{"instId":"{wire.index}","idxPx":"{price}",{others}"ts":"{now_ms}"}}'


def funding_row(wire: Wire, state: MarkState, settled: tuple[int, float], now_ms: int) -> str:
    """``settled``: time (ms) and rate of the last settlement."""
    interval_ms = (wire.listing.funding_interval_h or 8) * HOUR_MS
    premium = state.mark_price / state.index_price - 1.0
    return (
        f'{{"formulaType":"withRate","fundingRate":"{state.funding_rate:.10f}",'
        f'"fundingTime":"{state.next_funding_ms}","impactValue":"20000","instId":"{wire.listing.symbol}",'
        f'"instType":"SWAP","interestRate":"0.0001","maxFundingRate":"0.02","method":"current_period",'
        f'"minFundingRate":"-0.02","nextFundingRate":"",'
        f'"nextFundingTime":"{state.next_funding_ms + interval_ms}","premium":"{premium:.10f}",'
        f'"prevFundingTime":"{settled[0]}","settFundingRate":"{settled[1]:.10f}","settState":"settled",'
        f'"ts":"{now_ms}"}}'
    )


def open_interest_row(wire: Wire, lots: float, mark: float, now_ms: int) -> str:
    coins = lots * wire.listing.lot
    return (
        f'{{"instType":"{wire.inst_type}","instId":"{wire.listing.symbol}",'
        f'"oi":"{wire.contracts(lots, mark)}",'
        f'"oiCcy":"{wire.coins(lots)}","oiUsd":"{trimmed(coins * mark, 4)}","ts":"{now_ms}"}}'
    )


def liquidation_push(wire: Wire, orders: list[ForcedOrder]) -> bytes:
    """Everything of one instrument since the last push; ``bkPx`` lies a little beyond the fill."""
    family = wire.index
    details = ",".join(
        f'{{"bkLoss":"0","bkPx":"{wire.price(order.price * (1.004 if order.is_buy else 0.996))}","ccy":"",'
        f'"posSide":"{"short" if order.is_buy else "long"}","side":"{"buy" if order.is_buy else "sell"}",'
        f'"sz":"{wire.contracts(order.lots, order.price * wire.listing.tick)}","ts":"{order.time_ms}"}}'
        for order in orders
    )
    return (
        '{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":['
        f'{{"details":[{details}],"instFamily":"{family}","instId":"{wire.listing.symbol}",'
        f'"instType":"SWAP","uly":"{family}"}}]}}'
    ).encode()


def candle_row(row: list[str]) -> str:
    return "[" + ",".join(f'"{value}"' for value in row) + "]"
