"""Options in Deribit's form: listings, tickers, the chain, marks, books."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from apps.sandbox.faces.deribit import documents
from apps.sandbox.faces.deribit.errors import not_found
from apps.sandbox.faces.deribit.listings import INDEX_NAMES, is_main
from apps.sandbox.faces.deribit.source import Json
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import key_of, uniforms
from apps.sandbox.market.options.board import Board, Contract
from apps.sandbox.market.options.chain import Chain, tick_of
from apps.sandbox.market.options.market import AssetOptions
from apps.sandbox.market.options.prints import DayFigures
from apps.sandbox.market.options.terms import DAY_MS, TERMS, board_start_ms
from apps.sandbox.market.protocol import Market

_SECOND_MS: Final = 1_000
TICKER_DECIMALS, CHAIN_DECIMALS = 4, 6
_BAND: Final = 0.04
_LEVELS: Final = 20
_BOOK_KEY: Final = key_of(0, "deribit option book")
DVOL_ASSETS: Final = ("BTC", "ETH")


class Found(NamedTuple):
    """A listed option: its asset's market, and where it stands on the board."""

    options: AssetOptions
    board: Board
    at: int

    @property
    def contract(self) -> Contract:
        return self.board.contracts[self.at]


class OptionDesk:
    """What the venue says of its options. Everything of one second agrees: it is of one chain."""

    def __init__(
        self, market: Market, listings: Sequence[Listing], now_ms: Callable[[], int]
    ) -> None:
        seed: int = getattr(market, "seed", 0)
        self._now_ms = now_ms
        dated = [one for one in listings if one.expiry_ms is not None]
        self.assets = {
            one.asset: AssetOptions(seed, market, one, dated)
            for one in listings
            if is_main(one) and one.asset in TERMS
        }
        self._by_prefix = {one.terms.prefix: one for one in self.assets.values()}
        self._futures = {(one.asset, one.expiry_ms): one.symbol for one in dated}
        self._settled: dict[tuple[str, int], list[float]] = {}

    def second_ms(self) -> int:
        """The beginning of the present second, which answers are of."""
        return self._now_ms() // _SECOND_MS * _SECOND_MS

    def chain(self, options: AssetOptions) -> Chain:
        return options.chain(self.second_ms())

    def of_currency(self, currency: str) -> list[AssetOptions]:
        return [
            one for one in self.assets.values() if documents.is_in(currency, one.terms.currency)
        ]

    def of_index(self, index_name: str) -> AssetOptions | None:
        return next(
            (one for one in self.assets.values() if INDEX_NAMES[one.asset] == index_name), None
        )

    def find(self, name: str) -> Found | None:
        options = self._by_prefix.get(name.partition("-")[0])
        if options is None:
            return None
        board = options.boards.at(self.second_ms())
        at = board.place.get(name)
        return None if at is None else Found(options, board, at)

    def get(self, name: str) -> Found:
        found = self.find(name)
        if found is None:
            raise not_found()
        return found

    # --- listings -------------------------------------------------------------------------------------

    def instruments(self, currency: str) -> list[Json]:
        now = self.second_ms()
        return [
            documents.option(one)
            for options in self.of_currency(currency)
            for one in options.boards.at(now).contracts
        ]

    def expired(self, currency: str) -> list[Json]:
        """What was settled on the board's first morning, as the venue still lists it for a day."""
        now = self.second_ms()
        rows = []
        for options in self.of_currency(currency):
            present, before = options.boards.at(now), options.boards.at(now - DAY_MS)
            rows += [
                documents.option(one, is_open=False)
                for one in before.contracts
                if one.symbol not in present.place
            ]
        return rows

    # --- tickers and summaries ------------------------------------------------------------------------

    def underlying_index(self, options: AssetOptions, board: Board, at: int, now_ms: int) -> str:
        """The future that an expiry is priced on; a synthetic one where none is listed, and the index
        itself on the last day."""
        expiry = board.expiries[int(board.expiry_at[at])]
        if expiry.at_ms - now_ms <= DAY_MS:
            return "index_price"
        future = self._futures.get((options.asset, expiry.at_ms))
        return future or f"SYN.{options.terms.prefix}-{expiry.name}"

    def ticker(self, name: str) -> Json:
        options, board, at = self.get(name)
        chain = self.chain(options)
        stats, greeks = self._stats(options.day_figures(chain.t_ms), at), chain.greeks
        bid, ask = float(chain.bid[at]), float(chain.ask[at])
        mark = float(chain.mark[at])
        bid_iv, ask_iv = (chain.quote_volatility(at, one) if one else None for one in (bid, ask))
        band = _BAND * (1.0 if options.terms.is_inverse else chain.index)
        tick, decimals = options.terms.tick, options.terms.price_decimals
        return {
            "timestamp": chain.t_ms,
            "state": "open",
            "stats": {
                name: stats[name]
                for name in ("high", "low", "price_change", "volume", "volume_usd")
            },
            "greeks": {
                "theta": round(float(greeks.theta[at]), 5),
                "delta": round(float(greeks.delta[at]), 5),
                "gamma": _gamma(float(greeks.gamma[at]), options.terms.is_inverse),
                "vega": round(float(greeks.vega[at]), 5),
                "rho": round(float(greeks.rho[at]), 5),
            },
            "interest_rate": 0.0,
            "index_price": chain.index,
            "instrument_name": name,
            "last_price": stats["last"],
            "settlement_price": self._settlement(options, board, at),
            "min_price": round(max(tick, math.floor((mark - band) / tick) * tick), decimals),
            "max_price": round(math.ceil((mark + band) / tick) * tick, decimals),
            "open_interest": round(float(options.open_interest(chain.t_ms)[at]), 4),
            "mark_price": round(mark, TICKER_DECIMALS),
            "best_ask_price": ask,
            "best_bid_price": bid,
            "mark_iv": _percent(float(chain.sigma[at])),
            "bid_iv": _percent(bid_iv),
            "ask_iv": _percent(ask_iv),
            "underlying_price": float(chain.forward[at]),
            "underlying_index": self.underlying_index(options, board, at, chain.t_ms),
            "estimated_delivery_price": self._delivery(options, board, at, chain),
            "best_ask_amount": float(chain.sizes[1][at]),
            "best_bid_amount": float(chain.sizes[0][at]) if bid else 0.0,
        }

    def _delivery(self, options: AssetOptions, board: Board, at: int, chain: Chain) -> float:
        return options.delivery_price(int(board.expiry_ms[at]), chain.t_ms)

    def _settlement(self, options: AssetOptions, board: Board, at: int) -> float | None:
        """The mark of the last settlement (08:00)."""
        slot = (options.asset, board.day)
        if slot not in self._settled:
            self._settled = {
                one: kept for one, kept in self._settled.items() if one[1] == board.day
            }
            marks = options.chain(board_start_ms(board.day)).mark
            self._settled[slot] = np.round(marks, 8).tolist()
        return self._settled[slot][at]

    def _stats(self, figures: DayFigures, at: int) -> Json:
        """Nulls where nothing traded."""
        return {
            "high": _or_none(figures.high[at]),
            "low": _or_none(figures.low[at]),
            "last": _or_none(figures.last[at]),
            "price_change": _or_none(figures.change_percent[at], 4),
            "volume": round(float(figures.volume[at]), 4),
            "volume_usd": round(float(figures.premium_usd[at]), 2),
        }

    def summary(self, name: str) -> Json:
        options, board, at = self.get(name)
        return self._summaries(options, board, [at])[0]

    def summaries(self, currency: str) -> list[Json]:
        """The chain: no greeks."""
        rows: list[Json] = []
        for options in self.of_currency(currency):
            board = options.boards.at(self.second_ms())
            rows += self._summaries(options, board, range(len(board)))
        return rows

    def _summaries(self, options: AssetOptions, board: Board, places: Iterable[int]) -> list[Json]:
        chain = self.chain(options)
        figures = options.day_figures(chain.t_ms)
        interest = np.round(options.open_interest(chain.t_ms), 4).tolist()
        columns = [chain.bid.tolist(), chain.ask.tolist(), chain.forward.tolist()]
        marks = np.round(chain.mark, CHAIN_DECIMALS).tolist()
        sigma = np.round(chain.sigma * 100.0, 2).tolist()
        terms = options.terms
        names = {
            at: self.underlying_index(options, board, at, chain.t_ms)
            for at in np.unique(board.expiry_at, return_index=True)[1].tolist()
        }
        by_expiry = list(names.values())
        money = terms.asset if terms.is_inverse else "USDC"
        rows: list[Json] = []
        for at in places:
            bid, ask, forward = (column[at] for column in columns)
            rows.append(
                {
                    **self._stats(figures, at),
                    "instrument_name": board.contracts[at].symbol,
                    "bid_price": bid or None,
                    "ask_price": ask,
                    "mid_price": round((bid + ask) / 2, 8) if bid else None,
                    "open_interest": interest[at],
                    "mark_price": marks[at],
                    "mark_iv": sigma[at],
                    "creation_timestamp": chain.t_ms,
                    "underlying_price": forward,
                    "underlying_index": by_expiry[int(board.expiry_at[at])],
                    "estimated_delivery_price": chain.index,
                    "interest_rate": 0.0,
                    "base_currency": terms.asset,
                    "quote_currency": money,
                }
            )
        return rows

    def marks(self, options: AssetOptions) -> bytes:
        """``markprice.options``, as JSON: here the volatility is a fraction."""
        chain = self.chain(options)
        rows = zip(chain.board.contracts, chain.mark.tolist(), chain.sigma.tolist(), strict=True)
        head = f'{{"timestamp":{chain.t_ms},"mark_price":'
        text = ",".join(
            f'{head}{mark:.6f},"iv":{sigma:.4f},"instrument_name":"{contract.symbol}"}}'
            for contract, mark, sigma in rows
        )
        return f"[{text}]".encode()

    def volatility(self, index_name: str) -> float | None:
        """DVOL in percent; BTC and ETH only."""
        options = self.of_index(index_name)
        if options is None or options.asset not in DVOL_ASSETS:
            return None
        return round(options.volatility_index(self.second_ms()) * 100.0, 2)

    # --- books ----------------------------------------------------------------------------------------

    def sides(self, found: Found) -> tuple[dict[float, float], dict[float, float]]:
        """Bids and asks, price → coins, best first; they change from second to second."""
        options, _, at = found
        chain, terms = self.chain(options), options.terms
        number = chain.board.contracts[at].number
        draw = uniforms(
            _BOOK_KEY, (number % 1_000_003) * 1_000_000_007 + chain.t_ms + np.arange(2 * _LEVELS)
        )
        sizes = np.round(np.ceil(6.0 * draw**-0.6) * terms.min_amount, 6).tolist()
        sizes[0], sizes[_LEVELS] = float(chain.sizes[0][at]), float(chain.sizes[1][at])
        bids = _ladder(found, float(chain.bid[at]), -1, sizes[:_LEVELS])
        asks = _ladder(found, float(chain.ask[at]), 1, sizes[_LEVELS:])
        return bids, asks

    def order_book(self, name: str, depth: int) -> Json:
        found = self.get(name)
        ticker = self.ticker(name)
        bids, asks = self.sides(found)
        return {
            **ticker,
            "change_id": ticker["timestamp"],
            "bids": [list(one) for one in list(bids.items())[:depth]],
            "asks": [list(one) for one in list(asks.items())[:depth]],
        }


def _ladder(found: Found, best: float, way: int, sizes: list[float]) -> dict[float, float]:
    """Levels a step apart from the best one on; bids end above 0."""
    terms = found.options.terms
    out: dict[float, float] = {}
    price = best
    for size in sizes:
        if price < terms.tick / 2:
            break
        out[price] = size
        step = float(tick_of(terms, np.array([price + (way - 1) * terms.tick / 4]))[0])
        price = round(price + way * step, terms.price_decimals)
    return out


def _gamma(value: float, is_inverse: bool) -> float:
    """Five decimals; coins that cost less need more of them."""
    return round(value, 5 if is_inverse and value > 1e-4 else 8)


def _percent(sigma: float | None) -> float:
    """0 where a price implies no volatility."""
    return 0.0 if sigma is None else round(sigma * 100.0, 2)


def _or_none(value: float, decimals: int = 6) -> float | None:
    return None if math.isnan(value) else round(float(value), decimals)
