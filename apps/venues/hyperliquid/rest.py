"""Hyperliquid's public REST: one address, ``POST /info``, the question in the body.

Through ccxt's implicit call (its addresses and error handling), whose unified forms lose raw rates and
trade counts; ccxt's throttle is off. Order books go direct. What the venue does not have (history of open
interest, ratios of accounts) comes back empty, as :data:`~apps.venues.hyperliquid.adapter.ADAPTER` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Unpack

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
from apps.venues.errors import (
    VenueBadAnswer,
    VenueBadRequest,
    VenueError,
    VenueThrottled,
    error_for_status,
)
from apps.venues.hyperliquid import rest_rows, wire
from apps.venues.hyperliquid.parse import INTERVAL_S, NS_PER_MS, VENUE, book_snapshot
from apps.venues.hyperliquid.parse import state_of as events_of_state
from apps.venues.hyperliquid.symbols import Drop, instruments_from_meta, universe_of
from apps.venues.public_rest import Answer, PublicRest, Wiring
from apps.venues.rows import interval_name
from apps.venues.values import BadValue

MINUTE_WEIGHT: Final = 1_150.0
"""Just under the 1200 that the venue allows an address."""
FUNDING_PAGE: Final = 500
CANDLES_KEPT: Final = 5_000
"""Only so many bars of an interval can be had, the latest ones."""
_INFO_WEIGHT: Final = 20.0
_BOOK_WEIGHT: Final = 2.0
_FUNDING_ROWS_PER_WEIGHT: Final = 20
_CANDLES_PER_WEIGHT: Final = 60
_PERIOD: Final = {seconds: name for name, seconds in INTERVAL_S.items()}

State = MarkPrice | FundingRate | OpenInterest


class HyperliquidRestClient(PublicRest):
    """See :class:`apps.venues.rest_client.RestClient`."""

    venue = VENUE

    def __init__(self, **wiring: Unpack[Wiring]) -> None:
        super().__init__(**wiring)
        self._drops: list[Drop] = []
        self._pool = self.new_pool("weight", MINUTE_WEIGHT, 60.0)

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
            page = self.readable(body, rest_rows.FundingRow)
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
        interval = interval_name(_PERIOD, interval_s)
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
        bars = [bar for bar in self.readable(body, wire.Bar) if start_ms <= bar.t < end_ms]
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

    async def _info(self, weight: float, question: dict[str, Any]) -> Any:
        await self._pool.acquire(weight)
        return await self.implicit("hyperliquid", "publicPostInfo", question, what=question["type"])

    def aim(self, client: Any) -> None:
        client.urls["api"]["public"] = self._endpoints.rest

    async def _post(self, question: dict[str, Any]) -> bytes:
        answer = await self.ask(
            question["type"],
            f"{self._endpoints.rest}/info",
            method="POST",
            data=orjson.dumps(question),
            headers={"Content-Type": "application/json"},
        )
        if answer.status != 200:
            raise self.refusal(question["type"], answer)
        return answer.body

    def refusal(self, what: str, answer: Answer) -> VenueError:
        status, headers, body = answer
        error = error_for_status(VENUE, what, status, headers, answer.excerpt)
        if status == 500 and b"null" in body:
            # The venue's answer to a coin that it does not know.
            return VenueBadRequest(VENUE, error.detail, status=status)
        if isinstance(error, VenueThrottled):
            self._pool.block_for(error.retry_after or 0.0)
        return error
