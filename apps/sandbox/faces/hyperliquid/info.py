"""``POST /info``: the question is in the body, answers are bare JSON, refusals are HTTP statuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson
from aiohttp import web

from apps.sandbox.faces.hyperliquid.limits import (
    INFO_WEIGHT,
    OTHER_INFO_WEIGHT,
    ROWS_PER_WEIGHT,
    Limits,
)
from apps.sandbox.faces.hyperliquid.listings import BUILDER_DEX
from apps.sandbox.faces.hyperliquid.names import INTERVALS
from apps.sandbox.faces.hyperliquid.source import (
    MARGIN_TABLES,
    RECENT_TRADES,
    Source,
    number,
    states,
    universe,
)
from apps.sandbox.market.listing import Listing

_HOUR_MS: Final = 3_600_000
_SPOT_META: Final = {
    "universe": [],
    "tokens": [
        {
            "name": "USDC",
            "szDecimals": 8,
            "weiDecimals": 8,
            "index": 0,
            "tokenId": "0x6d1e7cde53ba9467b783cb7c530ce054",
            "isCanonical": True,
            "evmContract": None,
            "fullName": None,
        }
    ],
}


BUILDER: Final[dict[str, Any]] = {
    "name": BUILDER_DEX,
    "fullName": "Hyna",
    "deployer": "0x53e655101ea361537124ef814ad4e654b54d0637",
    "oracleUpdater": None,
    "feeRecipient": None,
    "assetToStreamingOiCap": [],
}
"""A dex of the builders' kind (HIP-3)."""


class Refusal(Exception):
    """An HTTP status with the venue's text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def _unreadable() -> Refusal:
    return Refusal(422, "Failed to deserialize the JSON body into the target type")


def _unknown() -> Refusal:
    """The venue's answer to a coin that it does not have."""
    return Refusal(500, "null")


class InfoFace:
    """The venue's REST interface."""

    def __init__(self, source: Source, limits: Limits, now_ms: Callable[[], int]) -> None:
        self.requests = 0
        self._source = source
        self._limits = limits
        self._now_ms = now_ms
        self._coins = {one.symbol: one for one in (*source.listings, *source.builders)}
        self._answers: dict[str, Callable[[dict[str, Any]], Any]] = {
            "meta": self._meta,
            "metaAndAssetCtxs": self._meta_and_ctxs,
            "allMids": self._all_mids,
            "perpDexs": lambda _question: [None, *([BUILDER] if source.builders else [])],
            "spotMeta": lambda _question: _SPOT_META,
            "spotMetaAndAssetCtxs": lambda _question: [_SPOT_META, []],
            "l2Book": self._book,
            "recentTrades": self._recent_trades,
            "fundingHistory": self._funding,
            "predictedFundings": self._predicted,
            "candleSnapshot": self._candles,
            "exchangeStatus": lambda _question: {"time": now_ms(), "specialStatuses": None},
        }

    def register(self, app: web.Application) -> None:
        app.router.add_post("/info", self._handle)

    async def _handle(self, request: web.Request) -> web.Response:
        self.requests += 1
        try:
            return _response(200, orjson.dumps(self._answer(await request.read())))
        except Refusal as refusal:
            return _response(refusal.status, refusal.text.encode())

    def _answer(self, body: bytes) -> Any:
        try:
            question = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise Refusal(400, "Failed to parse the request body as JSON") from error
        name = question.get("type") if isinstance(question, dict) else None
        answer = self._answers.get(name) if isinstance(name, str) else None
        if answer is None or not isinstance(name, str):
            raise _unreadable()
        if not self._limits.weight.take(INFO_WEIGHT.get(name, OTHER_INFO_WEIGHT)):
            raise Refusal(429, "null")
        result = answer(question)
        if name in ROWS_PER_WEIGHT:
            self._limits.weight.add(len(result) // ROWS_PER_WEIGHT[name])
        return result

    # --- answers ------------------------------------------------------------------------------------

    def _of_dex(self, question: dict[str, Any]) -> tuple[Listing, ...]:
        """The venue's own coins, or those of a builder's dex."""
        name = question.get("dex")
        if not name:
            return self._source.listings
        if name != BUILDER["name"] or not self._source.builders:
            raise _unknown()
        return self._source.builders

    def _meta(self, question: dict[str, Any]) -> Any:
        return {
            "universe": universe(self._source, self._of_dex(question)),
            "marginTables": MARGIN_TABLES,
            "collateralToken": 0,
        }

    def _meta_and_ctxs(self, question: dict[str, Any]) -> Any:
        return [self._meta(question), states(self._source, self._of_dex(question))]

    def _all_mids(self, question: dict[str, Any]) -> Any:
        return all_mids(self._source, self._of_dex(question))

    def _book(self, question: dict[str, Any]) -> Any:
        coin = self._coins.get(question.get("coin", ""))
        return None if coin is None else self._source.book(coin)

    def _recent_trades(self, question: dict[str, Any]) -> Any:
        return self._source.trades(self._coin(question), RECENT_TRADES)[::-1]

    def _funding(self, question: dict[str, Any]) -> Any:
        start, end = _span(question, self._now_ms())
        return self._source.funding(self._coin(question), start, end)

    def _predicted(self, question: dict[str, Any]) -> Any:
        due = (self._now_ms() // _HOUR_MS + 1) * _HOUR_MS
        return [[one.symbol, self._predictions(one, due)] for one in self._source.listings]

    def _predictions(self, listing: Listing, due: int) -> list[list[Any]]:
        """Of each venue's own interval, as a text."""
        own = float(self._source.ctx(listing)["funding"])
        found = {"HlPerp": (own, due, 1), **self._source.elsewhere(listing)}
        return [
            [
                venue,
                {
                    "fundingRate": number(f"{rate:.10f}"),
                    "nextFundingTime": at,
                    "fundingIntervalHours": hours,
                },
            ]
            for venue, (rate, at, hours) in sorted(found.items())
        ]

    def _candles(self, question: dict[str, Any]) -> Any:
        asked = question.get("req")
        if not isinstance(asked, dict) or asked.get("interval") not in INTERVALS:
            raise _unreadable()
        start, end = _span(asked, self._now_ms())
        return self._source.candles(self._coin(asked), asked["interval"], start, end)

    def _coin(self, question: dict[str, Any]) -> Listing:
        name = question.get("coin")
        if not isinstance(name, str):
            raise _unreadable()
        coin = self._coins.get(name)
        if coin is None:
            raise _unknown()
        return coin


def all_mids(source: Source, listings: Sequence[Listing]) -> dict[str, str]:
    mids = ((one.symbol, source.mid(one)) for one in listings)
    return {name: mid for name, mid in mids if mid is not None}


def _span(question: dict[str, Any], now_ms: int) -> tuple[int, int]:
    start, end = question.get("startTime"), question.get("endTime") or now_ms
    if not isinstance(start, int) or not isinstance(end, int):
        raise _unreadable()
    return start, end


def _response(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json")
