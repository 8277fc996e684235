"""What the REST clients of all venues share: sessions, ccxt behind typed errors, budgets, rows.

ccxt is imported when a client first asks: that takes a second, and parsing and streaming do without it.
Its throttle is off; our budgets, which processes share, count for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, ClassVar, Final, NamedTuple, NotRequired, TypeAlias, TypedDict, Unpack

import aiohttp
import msgspec

from apps.marketdata.instruments import Instrument
from apps.venues.base import VenueEndpoints
from apps.venues.errors import VenueBadAnswer, VenueError, VenueUnavailable
from apps.venues.limiter import BudgetFactory, RequestPool
from apps.venues.rows import Row, readable
from apps.venues.timing import NowNs, Sleep

TIMEOUT_S: Final = 15.0


class Answer(NamedTuple):
    """What came back: HTTP status, headers, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def excerpt(self) -> str:
        return self.body[:200].decode("utf-8", "replace")


class Wiring(TypedDict):
    """What every client is made with.

    ``rate_multiplier`` widens every budget: 1 at the venue, more at the emulator on loopback.
    ``budgets`` keeps the request pools where processes share them. ``monotonic`` (seconds) and ``sleep``
    drive the budgets.
    """

    endpoints: VenueEndpoints
    now_ns: NowNs
    rate_multiplier: NotRequired[float]
    budgets: NotRequired[BudgetFactory | None]
    monotonic: NotRequired[Callable[[], float]]
    sleep: NotRequired[Sleep]


Reader: TypeAlias = Callable[[str], dict[str, Any]]
"""Decodes the body of a good answer into what ccxt would take for one, its rows typed already; raises
``msgspec.MsgspecError`` for any other."""
_last_answer: ContextVar[tuple[int, Mapping[str, str] | None, str] | None] = ContextVar(
    "last_venue_answer", default=None
)
"""Of this task: status, headers and body, which ccxt's errors do not carry."""
_reader: ContextVar[Reader | None] = ContextVar("venue_answer_reader", default=None)
"""Of this task's request."""


class PublicRest:
    """Base of :class:`apps.venues.rest_client.RestClient` implementations: a venue adds its calls."""

    venue: ClassVar[str]

    def __init__(self, **wiring: Unpack[Wiring]) -> None:
        self.bad_rows = 0
        """Rows left out because they could not be read."""
        self._endpoints = wiring["endpoints"]
        self._now_ns = wiring["now_ns"]
        self._known: dict[str, Instrument] = {}
        self._rate_multiplier = wiring.get("rate_multiplier", 1.0)
        self._budgets = wiring.get("budgets")
        self._monotonic = wiring.get("monotonic", time.monotonic)
        self._sleep = wiring.get("sleep", asyncio.sleep)
        self._session: aiohttp.ClientSession | None = None
        self._ccxt_clients: dict[str, Any] = {}

    async def close(self) -> None:
        for client in self._ccxt_clients.values():
            await client.close()
        self._ccxt_clients.clear()
        if self._session is not None:
            await self._session.close()
            self._session = None

    # --- for the venues -------------------------------------------------------------------------------

    def refusal(self, what: str, answer: Answer) -> VenueError:
        """The error that an unusable answer is; closes the budgets that it tells to close."""
        raise NotImplementedError

    def aim(self, client: Any) -> None:
        """Point a ccxt client at this client's endpoints."""
        raise NotImplementedError

    def new_pool(self, name: str, weight: float, window_s: float) -> RequestPool:
        """The budget ``venue:name``."""
        return RequestPool(
            weight * self._rate_multiplier,
            window_s,
            monotonic=self._monotonic,
            sleep=self._sleep,
            name=f"{self.venue}:{name}",
            budgets=self._budgets,
        )

    def readable(self, body: object, row_type: type[Row]) -> list[Row]:
        """Rows that fit, or have been read already; raises :class:`VenueBadAnswer` when none does."""
        if isinstance(body, list) and body and isinstance(body[0], row_type):
            return body
        try:
            good, bad = readable(body, row_type)
        except TypeError as error:
            raise VenueBadAnswer(self.venue, str(error)) from error
        self.bad_rows += bad
        if bad and not good:
            raise VenueBadAnswer(self.venue, f"{row_type.__name__}: none of {bad} rows is readable")
        return good

    async def implicit(
        self,
        exchange: str,
        call: str,
        params: Mapping[str, object],
        *,
        what: str,
        read: Reader | None = None,
    ) -> Any:
        """The decoded answer of one of ccxt's implicit calls. Raises :class:`VenueError`.

        ``read`` decodes it in ccxt's place, where it can.
        """
        import ccxt.async_support as ccxt

        client = self._ccxt(exchange)
        _last_answer.set(None)
        _reader.set(read)
        try:
            return await getattr(client, call)(dict(params))
        except ccxt.BaseError as error:
            told = _last_answer.get()
            if told is None:
                raise VenueUnavailable(self.venue, f"{what}: {type(error).__name__}") from error
            status, headers, body = told
            answer = Answer(status, dict(headers or {}), body.encode())
            raise self.refusal(what, answer) from error

    async def ask(self, what: str, url: str, *, method: str = "GET", **more: Any) -> Answer:
        """One request past ccxt; ``more`` is aiohttp's. Raises :class:`VenueUnavailable`."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
            self._session = aiohttp.ClientSession(timeout=timeout)
        try:
            async with self._session.request(method, url, **more) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise VenueUnavailable(self.venue, f"{what}: {type(error).__name__}") from error
        return Answer(response.status, dict(response.headers), body)

    # --- inside -----------------------------------------------------------------------------------

    def _ccxt(self, exchange: str) -> Any:
        client = self._ccxt_clients.get(exchange)
        if client is None:
            import ccxt.async_support as ccxt

            settings = {"enableRateLimit": False, "timeout": int(TIMEOUT_S * 1000)}
            client = getattr(ccxt, exchange)(settings)
            self.aim(client)
            _remember_answers(client)
            _read_answers(client)
            self._ccxt_clients[exchange] = client
        return client


def _remember_answers(client: Any) -> None:
    """Keep each answer of a ccxt client, per task, as it passes by."""
    original: Callable[..., Awaitable[Any]] = client.on_rest_response

    def on_rest_response(
        code: int, reason: str, url: str, method: str, headers: Any, body: str, *rest: Any
    ) -> Any:
        _last_answer.set((code, headers, str(body)))
        return original(code, reason, url, method, headers, body, *rest)

    client.on_rest_response = on_rest_response


def _read_answers(client: Any) -> None:
    """Let each request's own reader decode, if it has one."""
    original: Callable[[str], Any] = client.parse_json

    def parse_json(body: str) -> Any:
        read = _reader.get()
        if read is not None:
            # Anything but a good answer, or one row that does not fit: ccxt and ``readable`` see to it.
            with suppress(msgspec.MsgspecError):
                return read(body)
        return original(body)

    client.parse_json = parse_json
