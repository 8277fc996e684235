"""Hyperliquid's public REST: one address, ``POST /info``, the question in the body.

Through ccxt's implicit call (its addresses and error handling), whose unified forms lose raw rates and
trade counts; ccxt's throttle is off. Order books go direct. What the venue does not have (history of open
interest, ratios of accounts) comes back empty, as :data:`~apps.venues.hyperliquid.adapter.ADAPTER` says.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import aiohttp
import msgspec
import orjson

from apps.marketdata.events import (
    BookSnapshot,
    Candle,
    FundingRate,
    MarkPrice,
    OpenInterest,
    PositioningRatio,
)
from apps.marketdata.instruments import Instrument
from apps.venues.base import (
    NowNs,
    Sleep,
    VenueBadAnswer,
    VenueBadRequest,
    VenueEndpoints,
    VenueError,
    VenueThrottled,
    VenueUnavailable,
)
from apps.venues.errors import error_for_status
from apps.venues.hyperliquid import rest_rows, wire
from apps.venues.hyperliquid.parse import INTERVAL_S, NS_PER_MS, VENUE, BadValue, book_snapshot
from apps.venues.hyperliquid.parse import state_of as events_of_state
from apps.venues.hyperliquid.symbols import Drop, instruments_from_meta, universe_of
from apps.venues.limiter import BudgetFactory, RequestPool

MINUTE_WEIGHT: Final = 1_150.0
"""Just under the 1200 that the venue allows an address."""
FUNDING_PAGE: Final = 500
CANDLES_KEPT: Final = 5_000
"""Only so many bars of an interval can be had, the latest ones."""
_INFO_WEIGHT: Final = 20.0
_BOOK_WEIGHT: Final = 2.0
_FUNDING_ROWS_PER_WEIGHT: Final = 20
_CANDLES_PER_WEIGHT: Final = 60
_TIMEOUT_S: Final = 15.0
_PERIOD: Final = {seconds: name for name, seconds in INTERVAL_S.items()}

_status: ContextVar[tuple[int, dict[str, str]] | None] = ContextVar(
    "hyperliquid_status", default=None
)
State = MarkPrice | FundingRate | OpenInterest
T = TypeVar("T", bound=msgspec.Struct)


class HyperliquidRestClient:
    """See :class:`apps.venues.base.RestClient`.

    ``rate_multiplier`` widens the budget: 1 at the venue, more at the emulator on loopback.
    ``monotonic`` (seconds) and ``sleep`` drive it.
    """

    def __init__(
        self,
        *,
        endpoints: VenueEndpoints,
        now_ns: NowNs,
        rate_multiplier: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        budgets: BudgetFactory | None = None,
    ) -> None:
        self.bad_rows = 0
        self._drops: list[Drop] = []
        self._endpoints = endpoints
        self._now_ns = now_ns
        self._known: dict[str, Instrument] = {}
        self._client: Any = None
        self._session: aiohttp.ClientSession | None = None
        self._pool = RequestPool(
            MINUTE_WEIGHT * rate_multiplier,
            60.0,
            monotonic=monotonic,
            sleep=sleep,
            name=f"{VENUE}:weight",
            budgets=budgets,
        )

    # --- the contract ---------------------------------------------------------------------------------

    async def instruments(self) -> list[Instrument]:
        meta, states = await self._meta_and_states()
        found, self._drops = instruments_from_meta(meta, states)
        self._known = {item.symbol: item for item in found}
        return found

    def dropped(self) -> Sequence[Drop]:
        return self._drops

    async def funding_intervals(self) -> dict[str, float]:
        """None differs from the venue's one hour."""
        return {}

    async def funding_history(
        self, instrument: Instrument, start_ms: int, end_ms: int
    ) -> list[FundingRate]:
        collected: list[rest_rows.FundingRow] = []
        cursor = start_ms
        while cursor < end_ms:
            expected = min((end_ms - cursor) // rest_rows.HOUR_MS + 1, FUNDING_PAGE)
            body = await self._info(
                _INFO_WEIGHT + expected / _FUNDING_ROWS_PER_WEIGHT,
                {
                    "type": "fundingHistory",
                    "coin": instrument.symbol,
                    "startTime": cursor,
                    # The venue includes the end; ours is exclusive.
                    "endTime": end_ms - 1,
                },
            )
            page = self._rows(body, rest_rows.FundingRow)
            collected += page
            if len(page) < FUNDING_PAGE:
                break
            cursor = max(row.time for row in page) + 1
        return rest_rows.settled_rates(instrument, collected, self._now_ns())

    async def open_interest(self, instrument: Instrument) -> OpenInterest:
        for event in await self.open_interests():
            if event.instrument.symbol == instrument.symbol:
                return event
        raise VenueBadAnswer(VENUE, f"metaAndAssetCtxs: no open interest of {instrument.symbol}")

    async def open_interests(self) -> list[OpenInterest]:
        """One call for all."""
        return [event for event in await self._states() if isinstance(event, OpenInterest)]

    async def open_interest_history(
        self, instrument: Instrument, period_s: int, start_ms: int, end_ms: int
    ) -> list[OpenInterest]:
        """The venue keeps none."""
        return []

    async def candles(
        self, instrument: Instrument, interval_s: int, start_ms: int, end_ms: int
    ) -> list[Candle]:
        """Reaches back 5000 bars from now, whatever ``start_ms`` says. Takers are not told apart."""
        interval = _period(interval_s)
        ts_recv = self._now_ns()
        width_ms = interval_s * 1_000
        # Asked for by opening time: a bar that opened earlier would come too.
        oldest_ms = ts_recv // NS_PER_MS - CANDLES_KEPT * width_ms
        first_ms = -(-max(start_ms, oldest_ms) // width_ms) * width_ms
        if first_ms >= end_ms:
            return []
        expected = (end_ms - first_ms) // width_ms + 1
        body = await self._info(
            _INFO_WEIGHT + expected / _CANDLES_PER_WEIGHT,
            {
                "type": "candleSnapshot",
                "req": {
                    "coin": instrument.symbol,
                    "interval": interval,
                    "startTime": first_ms,
                    "endTime": end_ms - 1,
                },
            },
        )
        bars = [bar for bar in self._rows(body, wire.Bar) if start_ms <= bar.t < end_ms]
        return rest_rows.candles_of(instrument, bars, interval_s, ts_recv // NS_PER_MS, ts_recv)

    async def positioning(
        self, instrument: Instrument, series: str, period_s: int, start_ms: int, end_ms: int
    ) -> list[PositioningRatio]:
        """The venue publishes none."""
        return []

    async def book_snapshot(self, instrument: Instrument) -> BookSnapshot:
        """20 levels a side; the stream's books are as deep."""
        await self._pool.acquire(_BOOK_WEIGHT)
        body = await self._post({"type": "l2Book", "coin": instrument.symbol})
        try:
            return book_snapshot(body, instrument, self._now_ns())
        except (msgspec.MsgspecError, BadValue) as error:
            raise VenueBadAnswer(VENUE, f"l2Book: {error}") from error

    async def mark_prices(self) -> list[MarkPrice | FundingRate]:
        return [event for event in await self._states() if not isinstance(event, OpenInterest)]

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None
        if self._session is not None:
            await self._session.close()
            self._session = None

    # --- inside -----------------------------------------------------------------------------------

    async def _meta_and_states(self) -> tuple[Any, list[Any]]:
        body = await self._info(_INFO_WEIGHT, {"type": "metaAndAssetCtxs"})
        if not (
            isinstance(body, list)
            and len(body) == 2
            and isinstance(body[0], dict)
            and isinstance(body[1], list)
        ):
            raise VenueBadAnswer(VENUE, "metaAndAssetCtxs: expected a universe and its states")
        return body[0], body[1]

    async def _states(self) -> list[State]:
        """States of all coins of ours: ``states[i]`` is that of ``universe[i]``."""
        meta, states = await self._meta_and_states()
        if not self._known:
            found, self._drops = instruments_from_meta(meta, states)
            self._known = {item.symbol: item for item in found}
        ts_recv = self._now_ns()
        events: list[State] = []
        for name, state in zip(universe_of(meta), states, strict=False):
            instrument = self._known.get(name)
            if instrument is None:
                continue
            try:
                ctx = msgspec.convert(state, wire.AssetCtx, strict=False)
                events += events_of_state(instrument, ctx, ts_recv)
            except (msgspec.ValidationError, BadValue):
                self.bad_rows += 1
        return events

    def _rows(self, body: object, row_type: type[T]) -> list[T]:
        try:
            good, bad = rest_rows.rows(body, row_type)
        except TypeError as error:
            raise VenueBadAnswer(VENUE, str(error)) from error
        self.bad_rows += bad
        if bad and not good:
            raise VenueBadAnswer(VENUE, f"{row_type.__name__}: none of {bad} rows is readable")
        return good

    async def _info(self, weight: float, question: dict[str, Any]) -> Any:
        import ccxt.async_support as ccxt

        await self._pool.acquire(weight)
        _status.set(None)
        try:
            return await self._ccxt().publicPostInfo(question)
        except ccxt.BaseError as error:
            answer = _status.get()
            name = question["type"]
            if answer is None:
                raise VenueUnavailable(VENUE, f"{name}: {type(error).__name__}") from error
            status, headers = answer
            raise self._refused(name, status, headers, str(error)) from error

    def _ccxt(self) -> Any:
        if self._client is None:
            # Importing ccxt takes a second; parsing and streaming do without it.
            import ccxt.async_support as ccxt

            # Our own budget, which processes share, counts for it.
            settings = {"enableRateLimit": False, "timeout": int(_TIMEOUT_S * 1000)}
            self._client = ccxt.hyperliquid(settings)
            self._client.urls["api"]["public"] = self._endpoints.rest
            _remember_status(self._client)
        return self._client

    async def _post(self, question: dict[str, Any]) -> bytes:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
            self._session = aiohttp.ClientSession(timeout=timeout)
        name = question["type"]
        try:
            async with self._session.post(
                f"{self._endpoints.rest}/info",
                data=orjson.dumps(question),
                headers={"Content-Type": "application/json"},
            ) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise VenueUnavailable(VENUE, f"{name}: {type(error).__name__}") from error
        if response.status != 200:
            detail = body[:200].decode("utf-8", "replace")
            raise self._refused(name, response.status, dict(response.headers), detail)
        return body

    def _refused(self, what: str, status: int, headers: dict[str, str], detail: str) -> VenueError:
        error = error_for_status(VENUE, what, status, headers, detail)
        if status == 500 and "null" in detail:
            # The venue's answer to a coin that it does not know.
            return VenueBadRequest(VENUE, error.detail, status=status)
        if isinstance(error, VenueThrottled):
            self._pool.block_for(error.retry_after or 0.0)
        return error


def _period(seconds: int) -> str:
    try:
        return _PERIOD[seconds]
    except KeyError:
        expected = ", ".join(str(known) for known in _PERIOD)
        raise ValueError(f"expected an interval of {expected} s, received {seconds}") from None


def _remember_status(client: Any) -> None:
    """ccxt's errors carry no status: keep it, per task, as the answer passes by."""
    original: Callable[..., Awaitable[Any]] = client.on_rest_response

    def on_rest_response(
        code: int, reason: str, url: str, method: str, headers: Any, *rest: Any
    ) -> Any:
        _status.set((code, dict(headers or {})))
        return original(code, reason, url, method, headers, *rest)

    client.on_rest_response = on_rest_response
