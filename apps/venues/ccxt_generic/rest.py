"""Any venue that ccxt knows, through its unified methods alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from apps.marketdata.events import (
    BookSnapshot,
    Candle,
    FundingRate,
    MarkPrice,
    OpenInterest,
    PositioningRatio,
)
from apps.marketdata.instruments import Instrument
from apps.venues.base import VenueEndpoints
from apps.venues.ccxt_generic.symbols import Drop, instruments_from_markets
from apps.venues.ccxt_generic.units import (
    interval_h,
    mark_price,
    open_interest,
    predicted,
    settled,
)
from apps.venues.errors import (
    VenueBadAnswer,
    VenueBadRequest,
    VenueError,
    VenueRefused,
    VenueThrottled,
    VenueUnavailable,
)
from apps.venues.limiter import BudgetFactory, RequestPool
from apps.venues.timing import NowNs

_TIMEOUT_MS: Final = 15_000
_POOL_S: Final = 10.0
_HISTORY_PAGE: Final = 100
_BACK_OFF_S: Final = 30.0


class CcxtRestClient:
    """See :class:`apps.venues.rest_client.RestClient`. ``venue`` is ccxt's id.

    ``endpoints.rest`` empty means the venue's own addresses; otherwise its scheme, host and port take
    the place of every one of them.
    """

    def __init__(
        self,
        *,
        venue: str,
        endpoints: VenueEndpoints,
        now_ns: NowNs,
        rate_multiplier: float = 1.0,
        budgets: BudgetFactory | None = None,
    ) -> None:
        self.bad_rows = 0
        self._venue = venue
        self._now_ns = now_ns
        self._base = endpoints.rest
        self._client: Any = None
        self._by_symbol: dict[str, Instrument] = {}
        self._drops: list[Drop] = []
        self._marks: dict[str, float] = {}
        self._hours: dict[str, float] = {}
        self._rate_multiplier = rate_multiplier
        self._budgets = budgets
        self._pool: RequestPool | None = None

    # --- the contract ---------------------------------------------------------------------------------

    async def instruments(self) -> list[Instrument]:
        markets = await self._call("load_markets", True)
        found, self._drops = instruments_from_markets(self._venue, markets.values())
        self._by_symbol = {one.symbol: one for one in found}
        return found

    def dropped(self) -> Sequence[Drop]:
        return self._drops

    async def funding_intervals(self) -> dict[str, float]:
        """The venue's list where ccxt has one; else what the rates themselves say."""
        if self._has("fetchFundingIntervals"):
            rows = await self._call("fetch_funding_intervals", list(self._by_symbol))
        else:
            rows = await self._rates()
        self._hours = {
            symbol: hours
            for symbol, row in rows.items()
            if symbol in self._by_symbol and (hours := interval_h(row.get("interval")))
        }
        return self._hours

    async def funding_history(
        self, instrument: Instrument, start_ms: int, end_ms: int
    ) -> list[FundingRate]:
        found: dict[int, FundingRate] = {}
        cursor = start_ms
        while self._has("fetchFundingRateHistory") and cursor < end_ms:
            rows = await self._call(
                "fetch_funding_rate_history", instrument.symbol, cursor, _HISTORY_PAGE
            )
            rates = [settled(instrument, row, self._now_ns()) for row in rows]
            fresh = {
                rate.funding_ts: rate
                for rate in rates
                if rate is not None and start_ms <= rate.funding_ts // 1_000_000 < end_ms
            }
            if not fresh.keys() - found.keys():
                break
            found |= fresh
            cursor = max(fresh) // 1_000_000 + 1
        return [found[ts] for ts in sorted(found)]

    async def open_interest(self, instrument: Instrument) -> OpenInterest:
        if not self._has("fetchOpenInterest"):
            raise VenueBadRequest(self._venue, "ccxt has no open interest of this venue")
        row = await self._call("fetch_open_interest", instrument.symbol)
        event = self._open_interest(instrument, row)
        if event is None:
            raise VenueBadAnswer(self._venue, f"open interest of {instrument.symbol}: no number")
        return event

    async def open_interest_history(
        self, instrument: Instrument, period_s: int, start_ms: int, end_ms: int
    ) -> list[OpenInterest]:
        return []

    async def candles(
        self, instrument: Instrument, interval_s: int, start_ms: int, end_ms: int
    ) -> list[Candle]:
        return []

    async def positioning(
        self, instrument: Instrument, series: str, period_s: int, start_ms: int, end_ms: int
    ) -> list[PositioningRatio]:
        return []

    async def book_snapshot(self, instrument: Instrument) -> BookSnapshot:
        raise VenueBadRequest(self._venue, "polled venues have no books here")

    async def mark_prices(self) -> list[MarkPrice | FundingRate]:
        """Rates of all, and marks: with them where the venue says both at once, else from tickers."""
        rates = await self._rates()
        has_marks = any(row.get("markPrice") for row in rates.values())
        said = rates if has_marks else await self._tickers()
        ts_recv = self._now_ns()
        events: list[MarkPrice | FundingRate] = []
        for symbol, one in self._by_symbol.items():
            if (mark := mark_price(one, said.get(symbol, {}), ts_recv)) is not None:
                self._marks[symbol] = mark.mark_price
                events.append(mark)
            rate = predicted(one, rates.get(symbol, {}), self._hours.get(symbol), ts_recv)
            if rate is not None:
                events.append(rate)
            elif symbol in rates:
                self.bad_rows += 1
        return events

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    # --- inside -----------------------------------------------------------------------------------

    def _open_interest(self, one: Instrument, row: Mapping[str, Any]) -> OpenInterest | None:
        return open_interest(one, row, self._marks.get(one.symbol), self._now_ns())

    async def _rates(self) -> Mapping[str, Mapping[str, Any]]:
        if self._has("fetchFundingRates"):
            rows: Mapping[str, Mapping[str, Any]] = await self._call("fetch_funding_rates")
            return rows
        return {
            symbol: await self._call("fetch_funding_rate", symbol) for symbol in self._by_symbol
        }

    async def _tickers(self) -> Mapping[str, Mapping[str, Any]]:
        rows: Mapping[str, Mapping[str, Any]] = await self._call(
            "fetch_tickers", list(self._by_symbol)
        )
        return rows

    def _has(self, method: str) -> bool:
        # ccxt says True, False, None or "emulated".
        return bool(self._ccxt().has.get(method))

    def _ccxt(self) -> Any:
        if self._client is None:
            # Importing ccxt takes a second; a deployment without such venues does without it.
            import ccxt.async_support as ccxt

            kind = getattr(ccxt, self._venue, None)
            if kind is None:
                raise VenueBadRequest(self._venue, "ccxt does not know this venue")
            self._client = kind({"enableRateLimit": False, "timeout": _TIMEOUT_MS})
            if self._base:
                self._client.urls["api"] = _moved(self._client.urls["api"], self._base)
                self._client.hostname = urlsplit(self._base).netloc
            calls = max(1.0, _POOL_S * 1000 / self._client.rateLimit) * self._rate_multiplier
            self._pool = RequestPool(
                calls,
                _POOL_S,
                monotonic=time.monotonic,
                sleep=asyncio.sleep,
                name=f"{self._venue}:calls",
                budgets=self._budgets,
            )
        return self._client

    async def _call(self, method: str, *arguments: object) -> Any:
        import ccxt.async_support as ccxt

        client = self._ccxt()
        assert self._pool is not None  # noqa: S101 made with the client
        await self._pool.acquire()
        try:
            return await getattr(client, method)(*arguments)
        except ccxt.BaseError as error:
            raise self._typed(method, error) from error

    def _typed(self, method: str, error: Exception) -> VenueError:
        import ccxt.async_support as ccxt

        text = f"{method}: {type(error).__name__}: {error}"[:300]
        if isinstance(error, ccxt.RateLimitExceeded | ccxt.DDoSProtection):
            if self._pool is not None:
                self._pool.block_for(_BACK_OFF_S)
            return VenueThrottled(self._venue, text, retry_after=_BACK_OFF_S)
        if isinstance(error, ccxt.PermissionDenied):
            return VenueRefused(self._venue, text, retry_after=_BACK_OFF_S)
        if isinstance(error, ccxt.NetworkError | ccxt.ExchangeNotAvailable):
            return VenueUnavailable(self._venue, text)
        if isinstance(error, ccxt.BadRequest | ccxt.BadSymbol | ccxt.NotSupported):
            return VenueBadRequest(self._venue, text)
        return VenueBadAnswer(self._venue, text)


def _moved(urls: Any, base: str) -> Any:
    """The same addresses (ccxt nests them) at another host; paths stay."""
    if isinstance(urls, dict):
        return {name: _moved(value, base) for name, value in urls.items()}
    return base.rstrip("/") + urlsplit(str(urls)).path
