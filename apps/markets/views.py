"""L1 over REST. A view reads the question, asks one function, and sends the bytes.

The edge answers the commonest questions before Django; these views are the definition that it must equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.viewsets import ViewSetMixin

from apps.core.clock import iso_utc, market_clock
from apps.core.jsonout import dumps
from apps.core.rest import ReadOnlyView
from apps.core.streaming import streamed
from apps.marketdata.clocksync import sync_market_clock
from apps.markets import (
    flat,
    history_basis,
    history_flow,
    history_funding,
    history_liquidations,
    history_ohlcv,
    history_open_interest,
    history_positioning,
)
from apps.markets.contracts import FLOW_METRIC, FUNDING_METRIC
from apps.markets.contracts_basis import BASIS_METRIC
from apps.markets.contracts_liquidations import CSV_COLUMNS as LIQUIDATIONS_CSV_COLUMNS
from apps.markets.contracts_liquidations import EVENT_CSV_COLUMNS, LIQUIDATIONS_METRIC
from apps.markets.contracts_ohlcv import CSV_COLUMNS as OHLCV_CSV_COLUMNS
from apps.markets.contracts_ohlcv import OHLCV_METRIC
from apps.markets.contracts_open_interest import OPEN_INTEREST_METRIC
from apps.markets.contracts_positioning import CSV_COLUMNS as POSITIONING_CSV_COLUMNS
from apps.markets.contracts_positioning import POSITIONING_METRIC
from apps.markets.contracts_positioning import csv_records as positioning_csv_records
from apps.markets.current import AsOfBuilder, CsvLayout, current_answer, documents_for
from apps.markets.formats import Format, accepts_json, csv_lines, in_chunks, ndjson_lines
from apps.markets.history import Page, Row, RowPage
from apps.markets.history_contracts import (
    FLOW_CSV_COLUMNS,
    FUNDING_CSV_COLUMNS,
    OPEN_INTEREST_CSV_COLUMNS,
    flow_csv_records,
    funding_csv_records,
    open_interest_csv_records,
)
from apps.markets.history_contracts_basis import BASIS_CSV_COLUMNS, basis_csv_records
from apps.markets.queries import (
    EVENT,
    CurrentQuery,
    HistoryQuery,
    Intervals,
    read_query,
    simple_asset,
)
from apps.markets.schema import (
    basis_schema,
    flow_schema,
    funding_schema,
    liquidations_schema,
    ohlcv_schema,
    open_interest_schema,
    positioning_schema,
)
from apps.markets.snapshots import (
    build_basis,
    build_funding,
    build_liquidations,
    build_ohlcv,
    build_open_interest,
    build_positioning,
    build_volume_flow,
)


class MarketViewSet(ViewSetMixin, ReadOnlyView):
    """What every L1 endpoint does; a subclass names its metric, intervals and builders."""

    layer = "L1"

    metric: ClassVar[str]
    intervals: ClassVar[Intervals]
    method: ClassVar[tuple[str, str]]
    csv_current: ClassVar[CsvLayout]
    csv_history_columns: ClassVar[tuple[str, ...]]
    kinds: ClassVar[tuple[str, ...]] = ()

    def build_as_of(self) -> AsOfBuilder:
        raise NotImplementedError

    def page(self, query: HistoryQuery, now_ms: int) -> RowPage:
        raise NotImplementedError

    def csv_columns(self, query: HistoryQuery) -> tuple[str, ...]:
        return self.csv_history_columns

    def csv_records(self, asset: str, row: Row) -> list[dict[str, Any]]:
        raise NotImplementedError

    def snapshot_asset(self, request: HttpRequest) -> str | None:
        """Whose snapshot is asked for as it is published; admission then knows a 304 before it charges."""
        if request.method not in ("GET", "HEAD"):
            return None
        if not accepts_json(request.headers.get("Accept", "")):
            return None
        return simple_asset(request.META.get("QUERY_STRING", ""))

    def answer(self, request: Request) -> HttpResponseBase:
        sync_market_clock()
        now_ms = market_clock.now_ms()
        query = read_query(
            request.META.get("QUERY_STRING", ""),
            request.headers.get("Accept", ""),
            metric=self.metric,
            intervals=self.intervals,
            now_ms=now_ms,
            kinds=self.kinds,
        )
        if isinstance(query, HistoryQuery):
            return self._history(request, query, now_ms)
        return self._current(request, query, now_ms)

    def _current(self, request: Request, query: CurrentQuery, now_ms: int) -> HttpResponse:
        documents = documents_for(query, self.metric, self.build_as_of())
        answer = current_answer(query, documents, self.csv_current, now_ms)
        if _matches(request.headers.get("If-None-Match", ""), answer.etag):
            response = HttpResponse(status=304)
        else:
            content_type = query.selection.format.content_type
            response = HttpResponse(b"".join(answer.chunks), content_type=content_type)
        response["ETag"] = answer.etag
        response["Cache-Control"] = "private, no-cache"
        if query.selection.as_of_ms is None:
            response["X-Next-Update-At"] = iso_utc(answer.next_update_ms)
        return response

    def _history(self, request: Request, query: HistoryQuery, now_ms: int) -> HttpResponseBase:
        page = self.page(query, now_ms)
        wanted = query.selection.format
        rows = page.rows()
        if wanted is Format.JSON:
            chunks = self._history_json(query, page, rows)
        elif wanted is Format.NDJSON:
            chunks = ndjson_lines(rows)
        else:
            records = (record for row in rows for record in self.csv_records(query.asset, row))
            chunks = csv_lines(self.csv_columns(query), records)
        response = streamed(request._request, in_chunks(chunks), wanted.content_type)
        response["Cache-Control"] = "private, no-cache"
        if page.next_cursor is not None:
            response["X-Next-Cursor"] = page.next_cursor
        return response

    def _history_json(
        self, query: HistoryQuery, page: RowPage, rows: Iterator[Row]
    ) -> Iterator[bytes]:
        head = dumps({"asset": query.asset, "interval": query.interval})
        yield head[:-1] + b',"data":['
        count = 0
        for row in rows:
            yield (b"," if count else b"") + dumps(row)
            count += 1
        meta: dict[str, Any] = {
            "market": settings.MARKET,
            "layer": self.layer,
            "metric": self.metric,
            "interval_seconds": 0 if query.interval == EVENT else query.interval_ms // 1000,
            "method": {"name": self.method[0], "version": self.method[1]},
            "venues": list(page.venues),
            "count": count,
        }
        if query.selection.as_of_ms is not None:
            meta["as_of"] = iso_utc(query.selection.as_of_ms)
        yield b'],"next_cursor":' + dumps(page.next_cursor) + b',"meta":' + dumps(meta) + b"}"


def _matches(if_none_match: str, etag: str) -> bool:
    """Weak comparison (RFC 9110): ``W/`` makes no difference."""
    offered = [tag.strip().removeprefix("W/") for tag in if_none_match[:4096].split(",")]
    return "*" in offered or etag.removeprefix("W/") in offered


class FundingViewSet(MarketViewSet):
    """Predicted and settled funding rates."""

    metric = FUNDING_METRIC
    intervals = history_funding.INTERVALS
    method = history_funding.METHOD
    csv_current = CsvLayout(flat.FUNDING_COLUMNS, flat.funding_records)
    csv_history_columns = FUNDING_CSV_COLUMNS

    @funding_schema
    def retrieve(self, request: Request) -> HttpResponseBase:
        return self.answer(request)

    def build_as_of(self) -> AsOfBuilder:
        return build_funding

    def page(self, query: HistoryQuery, now_ms: int) -> Page:
        return history_funding.funding_page(query, now_ms)

    def csv_records(self, asset: str, row: Row) -> list[dict[str, Any]]:
        return funding_csv_records(asset, row)


class VolumeFlowViewSet(MarketViewSet):
    """Taker flow: who crosses the spread, and with how much."""

    metric = FLOW_METRIC
    intervals = history_flow.INTERVALS
    method = history_flow.METHOD
    csv_current = CsvLayout(flat.FLOW_COLUMNS, flat.flow_records)
    csv_history_columns = FLOW_CSV_COLUMNS

    @flow_schema
    def retrieve(self, request: Request) -> HttpResponseBase:
        return self.answer(request)

    def build_as_of(self) -> AsOfBuilder:
        return build_volume_flow

    def page(self, query: HistoryQuery, now_ms: int) -> Page:
        return history_flow.flow_page(query, now_ms)

    def csv_records(self, asset: str, row: Row) -> list[dict[str, Any]]:
        return flow_csv_records(asset, row)


class OpenInterestViewSet(MarketViewSet):
    """Positions that are open: one side of each contract, per venue and in sum."""

    metric = OPEN_INTEREST_METRIC
    intervals = history_open_interest.INTERVALS
    method = history_open_interest.METHOD
    csv_current = CsvLayout(flat.OPEN_INTEREST_COLUMNS, flat.open_interest_records)
    csv_history_columns = OPEN_INTEREST_CSV_COLUMNS

    @open_interest_schema
    def retrieve(self, request: Request) -> HttpResponseBase:
        return self.answer(request)

    def build_as_of(self) -> AsOfBuilder:
        return build_open_interest

    def page(self, query: HistoryQuery, now_ms: int) -> Page:
        return history_open_interest.open_interest_page(query, now_ms)

    def csv_records(self, asset: str, row: Row) -> list[dict[str, Any]]:
        return open_interest_csv_records(asset, row)


class PositioningViewSet(MarketViewSet):
    """Who is long: accounts, top traders, takers."""

    metric = POSITIONING_METRIC
    intervals = history_positioning.INTERVALS
    method = history_positioning.METHOD
    csv_current = CsvLayout(flat.POSITIONING_COLUMNS, flat.positioning_records)
    csv_history_columns = POSITIONING_CSV_COLUMNS

    @positioning_schema
    def retrieve(self, request: Request) -> HttpResponseBase:
        return self.answer(request)

    def build_as_of(self) -> AsOfBuilder:
        return build_positioning

    def page(self, query: HistoryQuery, now_ms: int) -> Page:
        return history_positioning.positioning_page(query, now_ms)

    def csv_records(self, asset: str, row: Row) -> list[dict[str, Any]]:
        return positioning_csv_records(asset, row)


class LiquidationsViewSet(MarketViewSet):
    """Positions that were closed by force: which side, where, how much."""

    metric = LIQUIDATIONS_METRIC
    intervals = history_liquidations.INTERVALS
    method = history_liquidations.METHOD
    csv_current = CsvLayout(flat.LIQUIDATIONS_COLUMNS, flat.liquidations_records)
    csv_history_columns = LIQUIDATIONS_CSV_COLUMNS

    @liquidations_schema
    def retrieve(self, request: Request) -> HttpResponseBase:
        return self.answer(request)

    def build_as_of(self) -> AsOfBuilder:
        return build_liquidations

    def page(self, query: HistoryQuery, now_ms: int) -> RowPage:
        return history_liquidations.liquidations_page(query, now_ms)

    def csv_columns(self, query: HistoryQuery) -> tuple[str, ...]:
        return EVENT_CSV_COLUMNS if query.interval == EVENT else self.csv_history_columns

    def csv_records(self, asset: str, row: Row) -> list[dict[str, Any]]:
        return history_liquidations.csv_records(asset, row)


class OhlcvViewSet(MarketViewSet):
    """Candles of perpetuals and spot."""

    metric = OHLCV_METRIC
    intervals = history_ohlcv.INTERVALS
    method = history_ohlcv.METHOD
    csv_current = CsvLayout(flat.OHLCV_COLUMNS, flat.ohlcv_records)
    csv_history_columns = OHLCV_CSV_COLUMNS
    kinds = history_ohlcv.KINDS

    @ohlcv_schema
    def retrieve(self, request: Request) -> HttpResponseBase:
        return self.answer(request)

    def build_as_of(self) -> AsOfBuilder:
        return build_ohlcv

    def page(self, query: HistoryQuery, now_ms: int) -> Page:
        return history_ohlcv.ohlcv_page(query, now_ms)

    def csv_records(self, asset: str, row: Row) -> list[dict[str, Any]]:
        return history_ohlcv.csv_records(asset, row)


class BasisViewSet(MarketViewSet):
    """How far contracts stand above their index, and what that is a year."""

    metric = BASIS_METRIC
    intervals = history_basis.INTERVALS
    method = history_basis.METHOD
    csv_current = CsvLayout(flat.BASIS_COLUMNS, flat.basis_records)
    csv_history_columns = BASIS_CSV_COLUMNS

    @basis_schema
    def retrieve(self, request: Request) -> HttpResponseBase:
        return self.answer(request)

    def build_as_of(self) -> AsOfBuilder:
        return build_basis

    def page(self, query: HistoryQuery, now_ms: int) -> Page:
        return history_basis.basis_page(query, now_ms)

    def csv_records(self, asset: str, row: Row) -> list[dict[str, Any]]:
        return basis_csv_records(asset, row)
