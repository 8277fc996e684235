"""What a caller asks of a market endpoint: the query string, validated, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import msgspec

from apps.core.clock import iso_utc
from apps.core.cursors import broken_cursor, decode_cursor, encode_cursor, foreign_cursor
from apps.core.errors import InvalidParameter, UnknownAsset
from apps.core.params import EARLIEST_MS, LATEST_MS, QueryParams, invalid, shown
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.liquidations import EVENT_ID_CHARS, EventKey
from apps.marketdata.universe import ASSETS, is_known_asset
from apps.marketdata.venues import all_venues
from apps.markets.formats import Format, wanted_format

DEFAULT_LIMIT: Final = 500
MAX_LIMIT: Final = 5_000
MAX_SPAN_MS: Final = 366 * 86_400_000
PARAMETERS: Final = (
    "asset",
    "assets",
    "aggregate",
    "venue",
    "interval",
    "from",
    "to",
    "limit",
    "cursor",
    "as_of",
    "format",
)
_HISTORY_ONLY: Final = ("interval", "limit")


@dataclass(frozen=True, slots=True)
class Intervals:
    """The bar lengths that an endpoint offers, in seconds by name."""

    seconds: dict[str, int]
    default: str


EVENT: Final = "event"
"""Interval name of endpoints whose rows may also be the single events."""
KIND: Final = "kind"
"""Parameter of endpoints whose markets (perp, spot) stand apart."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What both kinds of question share. ``venues`` None means all."""

    venues: tuple[str, ...] | None
    with_aggregate: bool
    as_of_ms: int | None
    format: Format
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class CurrentQuery:
    """The newest values (or those of ``as_of``). ``unknown`` names are reported per asset."""

    assets: tuple[str, ...]
    unknown: tuple[str, ...]
    is_multi: bool
    selection: Selection


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Rows of one asset with ``start_ms <= ts < end_ms``, after ``after_ms`` when a page came before."""

    metric: str
    asset: str
    interval: str
    interval_ms: int
    start_ms: int
    end_ms: int
    limit: int
    after_ms: int | None
    selection: Selection
    after_key: EventKey | None = None
    """Where a listing of events has got to; several may share one ``ts``."""

    @property
    def kind(self) -> str | None:
        return self.selection.kind

    def cursor_after(self, ts_ms: int, key: EventKey | None = None) -> str:
        return encode_cursor(
            HistoryCursor(
                self.metric,
                self.asset,
                self.interval,
                self.selection.venues or (),
                self.selection.as_of_ms,
                self.start_ms,
                self.end_ms,
                ts_ms,
                self.kind,
                key,
            )
        )


class HistoryCursor(msgspec.Struct, frozen=True, array_like=True):
    """The question a page belongs to, and the last ``ts`` that was answered."""

    metric: str
    asset: str
    interval: str
    venues: tuple[str, ...]
    as_of_ms: int | None
    start_ms: int
    end_ms: int
    after_ms: int
    kind: str | None = None
    after_key: EventKey | None = None


def read_query(
    raw: str,
    accept: str,
    *,
    metric: str,
    intervals: Intervals,
    now_ms: int,
    kinds: tuple[str, ...] = (),
) -> CurrentQuery | HistoryQuery:
    """Validate a query string; ``now_ms`` is market time. Raises ``FocsalError`` on anything wrong.

    ``kinds`` are the markets that the endpoint tells apart; without any, ``kind`` is no parameter of it.
    """
    params = QueryParams.parse(raw, (*PARAMETERS, KIND) if kinds else PARAMETERS)
    assets, unknown, is_multi = _assets(params)
    selection = Selection(
        venues=_venues(params),
        with_aggregate=params.boolean("aggregate", True),
        as_of_ms=_as_of(params, now_ms),
        format=wanted_format(params, accept),
        kind=params.choice(KIND, list(kinds), kinds[0]) if KIND in params.values else None,
    )
    if not {"from", "to", "cursor"} & params.values.keys():
        for name in _HISTORY_ONLY:
            if name in params.values:
                raise invalid(name, "from, to or cursor beside it", params.values[name])
        return CurrentQuery(assets, unknown, is_multi, selection)
    if is_multi:
        raise invalid("assets", "one asset for history: asset=BTC", params.values["assets"])
    if kinds and selection.kind is None and "cursor" not in params.values:
        selection = replace(selection, kind=kinds[0])
    return _history(params, metric, assets[0], intervals, selection, now_ms)


def simple_asset(raw: str) -> str | None:
    """The asset when the query is only ``asset`` and a truthy ``aggregate``: the question whose answer is
    a published snapshot as it is. None for all else, right or wrong."""
    try:
        params = QueryParams.parse(raw, ("asset", "aggregate"))
        asset = (params.text("asset") or "").upper()
        if not params.boolean("aggregate", True):
            return None
    except InvalidParameter:
        return None
    return asset if is_known_asset(asset) else None


def _assets(params: QueryParams) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    single, several = params.text("asset"), params.names("assets")
    if single is not None and several is not None:
        raise invalid("assets", "either asset or assets, not both", params.values["assets"])
    if single is not None:
        asset = single.upper()
        if not is_known_asset(asset):
            raise unknown_asset(single)
        return (asset,), (), False
    if several is None:
        raise InvalidParameter(
            "asset: expected asset=BTC, assets=BTC,ETH or assets=*, received none of them.",
            param="asset",
            extra={"expected": "asset=BTC, assets=BTC,ETH or assets=*", "received": ""},
        )
    if several == ["*"]:
        return ASSETS, (), True
    if len(several) > len(ASSETS):
        raise invalid("assets", f"at most {len(ASSETS)} assets", params.values["assets"])
    upper = dict.fromkeys(name.upper() for name in several)
    known = tuple(name for name in upper if is_known_asset(name))
    unknown = tuple(shown(name)[1:-1] for name in upper if not is_known_asset(name))
    return known, unknown, True


def unknown_asset(name: str) -> UnknownAsset:
    return UnknownAsset(
        f"asset: {shown(name)} is not covered; /v1/meta/assets lists the {len(ASSETS)} that are.",
        param="asset",
        extra={"expected": "an asset of /v1/meta/assets", "received": shown(name)[1:-1]},
    )


def _venues(params: QueryParams) -> tuple[str, ...] | None:
    names = params.names("venue")
    if names is None:
        return None
    lower = dict.fromkeys(name.lower() for name in names)
    known = all_venues()
    for name in lower:
        if name not in known:
            raise invalid("venue", f"one or more of {', '.join(known)}", name)
    # In the one order of the contract, so that equal questions have equal cursors.
    return tuple(venue for venue in known if venue in lower)


def _as_of(params: QueryParams, now_ms: int) -> int | None:
    as_of_ms = params.timestamp_ms("as_of")
    if as_of_ms is not None and as_of_ms > now_ms:
        expected = f"a moment not later than now ({iso_utc(now_ms)})"
        raise invalid("as_of", expected, params.values["as_of"])
    return as_of_ms


def _history(
    params: QueryParams,
    metric: str,
    asset: str,
    intervals: Intervals,
    selection: Selection,
    now_ms: int,
) -> HistoryQuery:
    interval = params.choice("interval", list(intervals.seconds), intervals.default)
    interval_ms = intervals.seconds[interval] * 1000
    limit = params.integer("limit", DEFAULT_LIMIT, minimum=1, maximum=MAX_LIMIT)
    text = params.text("cursor")
    if text is not None:
        return _continued(params, text, metric, asset, intervals, limit, selection)
    latest = now_ms if selection.as_of_ms is None else selection.as_of_ms
    end_ms = params.timestamp_ms("to")
    end_ms = latest if end_ms is None else end_ms
    start_ms = params.timestamp_ms("from")
    if start_ms is None:
        start_ms = max(end_ms - limit * interval_ms, end_ms - MAX_SPAN_MS, EARLIEST_MS)
    query = HistoryQuery(
        metric, asset, interval, interval_ms, start_ms, end_ms, limit, None, selection
    )
    _check_span(query, params.values.get("from", ""))
    return query


def _check_span(query: HistoryQuery, received: str) -> None:
    if query.start_ms >= query.end_ms:
        raise invalid("from", f"a moment before {iso_utc(query.end_ms)} (to)", received)
    if query.end_ms - query.start_ms > MAX_SPAN_MS:
        raise invalid("from", "at most one year (366 days) before to", received)


def _continued(
    params: QueryParams,
    text: str,
    metric: str,
    asset: str,
    intervals: Intervals,
    limit: int,
    selection: Selection,
) -> HistoryQuery:
    """The next page: the cursor says the window; what the caller repeats must agree with it."""
    cursor = decode_cursor(text, HistoryCursor)
    if cursor.metric != metric:
        raise foreign_cursor("endpoint", cursor.metric[:40], metric)
    if cursor.asset != asset:
        raise foreign_cursor("asset", cursor.asset[:40], asset)
    if cursor.interval not in intervals.seconds or not set(cursor.venues) <= set(all_venues()):
        raise broken_cursor()
    times = (cursor.start_ms, cursor.end_ms, cursor.after_ms, cursor.as_of_ms or EARLIEST_MS)
    if not all(EARLIEST_MS <= moment < LATEST_MS for moment in times):
        raise broken_cursor()
    if cursor.kind not in (None, *InstrumentKind) or not _is_key(cursor):
        raise broken_cursor()
    _check_repeated(params, cursor, selection)
    query = HistoryQuery(
        metric=metric,
        asset=asset,
        interval=cursor.interval,
        interval_ms=intervals.seconds[cursor.interval] * 1000,
        start_ms=cursor.start_ms,
        end_ms=cursor.end_ms,
        limit=limit,
        after_ms=cursor.after_ms,
        after_key=cursor.after_key,
        selection=replace(
            selection, venues=cursor.venues or None, as_of_ms=cursor.as_of_ms, kind=cursor.kind
        ),
    )
    if query.start_ms >= query.end_ms or query.end_ms - query.start_ms > MAX_SPAN_MS:
        raise broken_cursor()
    return query


def _is_key(cursor: HistoryCursor) -> bool:
    """Listings of events go on behind an event, all others behind a moment."""
    key = cursor.after_key
    if key is None or cursor.interval != EVENT:
        return key is None and cursor.interval != EVENT
    is_storable = len(key.event_id) <= EVENT_ID_CHARS and "\x00" not in key.event_id
    return is_storable and key.ts_ms == cursor.after_ms and 0 <= key.instrument_id < 2**31


def _check_repeated(params: QueryParams, cursor: HistoryCursor, selection: Selection) -> None:
    given = params.values
    if "interval" in given and given["interval"].strip().lower() != cursor.interval:
        raise foreign_cursor("interval", cursor.interval, shown(given["interval"]))
    if "venue" in given and selection.venues != cursor.venues:
        raise foreign_cursor("venue", ",".join(cursor.venues) or "all", shown(given["venue"]))
    if selection.kind is not None and selection.kind != cursor.kind:
        raise foreign_cursor(KIND, cursor.kind or "none", selection.kind)
    for name, expected in (("from", cursor.start_ms), ("to", cursor.end_ms)):
        moment = params.timestamp_ms(name)
        if moment is not None and moment != expected:
            raise foreign_cursor(name, iso_utc(expected), shown(given[name]))
    if "as_of" in given and selection.as_of_ms != cursor.as_of_ms:
        expected_as_of = "none" if cursor.as_of_ms is None else iso_utc(cursor.as_of_ms)
        raise foreign_cursor("as_of", expected_as_of, shown(given["as_of"]))
