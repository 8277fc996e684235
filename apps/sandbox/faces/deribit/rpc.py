"""The public methods, the same over HTTP and WebSocket: parameters in, result out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from apps.sandbox.faces.deribit import documents
from apps.sandbox.faces.deribit.errors import invalid, not_found, unknown_method
from apps.sandbox.faces.deribit.listings import INDEX_NAMES, LINEAR
from apps.sandbox.faces.deribit.settlements import TYPES
from apps.sandbox.faces.deribit.source import Scope, Source

Params: TypeAlias = Mapping[str, Any]
Method: TypeAlias = Callable[[Source, Params], Any]
_KINDS: Final = ("future", "option", "spot", "future_combo", "option_combo", "combo", "any")
_DEPTHS: Final = (1, 5, 10, 20, 50, 100, 1000, 10000)
RESOLUTIONS: Final = {
    **{str(minutes): minutes for minutes in (1, 3, 5, 10, 15, 30, 60, 120, 180, 360, 720)},
    "1D": 1_440,
}
_VOLATILITY_STEPS_MS: Final = {
    "1": 1_000, "60": 60_000, "3600": 3_600_000, "43200": 43_200_000, "1D": 86_400_000,
}  # fmt: skip
_NEVER_MS: Final = 1 << 60


def call(source: Source, method: str, params: Params) -> Any:
    """Raises ``RpcRefusal``."""
    found = METHODS.get(method)
    if found is None:
        raise unknown_method()
    return found(source, params)


def _text(params: Params, name: str, default: str | None = None) -> str:
    value = params.get(name, default)
    if value is None:
        raise invalid(name, "missing parameter")
    if not isinstance(value, str | int) or not 0 < len(str(value)) <= 80:
        raise invalid(name)
    return str(value)


def _number(params: Params, name: str, default: int | None = None) -> int:
    value = params.get(name, default)
    if value is None:
        raise invalid(name, "missing parameter")
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise invalid(name) from None
    if not 0 <= number <= _NEVER_MS:
        raise invalid(name)
    return number


def _span(params: Params, source: Source) -> tuple[int, int]:
    start = _number(params, "start_timestamp")
    end = _number(params, "end_timestamp", source.now_ms())
    if end < start:
        raise invalid("start_timestamp", "start_timestamp must not be after end_timestamp")
    return start, end


def _currency(params: Params) -> str:
    currency = _text(params, "currency", "any")
    if currency not in (*documents.CURRENCIES, "any", "USDT", "EURR"):
        raise invalid("currency")
    return currency


def _kind(params: Params) -> str | None:
    if params.get("kind") is None:
        return None
    kind = _text(params, "kind")
    if kind not in _KINDS:
        raise invalid("kind")
    return kind


def _instruments(source: Source, params: Params) -> Any:
    currency, kind = _currency(params), _kind(params)
    if str(params.get("expired", "false")).lower() == "true":
        return source.expired(currency, kind)
    return source.instruments(currency, kind)


def _instrument(source: Source, params: Params) -> Any:
    name = _text(params, "instrument_name")
    for row in source.instruments("any", None):
        if row["instrument_name"] == name:
            return row
    raise not_found()


def _order_book(source: Source, params: Params) -> Any:
    depth = _number(params, "depth", 5)
    if depth not in _DEPTHS:
        # The venue takes the next depth that it has.
        depth = next((one for one in _DEPTHS if one >= depth), _DEPTHS[-1])
    return source.order_book(_text(params, "instrument_name"), depth)


def _chart(source: Source, params: Params) -> Any:
    width = RESOLUTIONS.get(_text(params, "resolution"))
    if width is None:
        raise invalid("resolution")
    return source.chart(_text(params, "instrument_name"), width, *_span(params, source))


def _funding_value(source: Source, params: Params) -> Any:
    rows = source.funding_history(_text(params, "instrument_name"), *_span(params, source))
    return round(sum(row["interest_1h"] for row in rows), 10)


def _volatility(source: Source, params: Params) -> Any:
    step_ms = _VOLATILITY_STEPS_MS.get(_text(params, "resolution"))
    if step_ms is None:
        raise invalid("resolution")
    return source.volatility_index(_text(params, "currency"), step_ms, *_span(params, source))


def _trades(*, by_currency: bool, in_time: bool) -> Method:
    def answer(source: Source, params: Params) -> Any:
        if by_currency:
            scope = Scope(currency=_currency(params), kind=_kind(params))
        else:
            scope = Scope(name=_text(params, "instrument_name"))
        count = _number(params, "count", 10)
        if not 1 <= count <= 1000:
            raise invalid("count", "must be between 1 and 1000")
        if in_time:
            start, end = _span(params, source)
        else:
            start = _number(params, "start_timestamp", 0)
            end = _number(params, "end_timestamp", source.now_ms())
        # In a span the oldest come first, otherwise the newest.
        sorting = _text(params, "sorting", "asc" if in_time else "desc")
        if sorting not in ("asc", "desc", "default"):
            raise invalid("sorting")
        oldest_first = sorting == "asc" or (sorting == "default" and in_time)
        rows, more = source.trades(scope, start, end, count, oldest_first=oldest_first)
        return {"trades": rows, "has_more": more}

    return answer


def _index(source: Source, params: Params) -> Any:
    price = source.index_price(_text(params, "index_name"))
    return {"index_price": price, "estimated_delivery_price": price}


def _expirations(source: Source, params: Params) -> Any:
    kind = _text(params, "kind", "any")
    if kind not in ("future", "option", "any"):
        raise invalid("kind")
    return source.expirations(_currency(params), kind)


def _delivery_prices(source: Source, params: Params) -> Any:
    count = _number(params, "count", 10)
    if not 1 <= count <= 1000:
        raise invalid("count", "must be between 1 and 1000")
    return source.delivery_prices(_text(params, "index_name"), _number(params, "offset", 0), count)


def _settlements(*, by_currency: bool) -> Method:
    def answer(source: Source, params: Params) -> Any:
        name = None if by_currency else _text(params, "instrument_name")
        kind = _text(params, "type", "any")
        if kind not in (*TYPES, "any"):
            raise invalid("type")
        count = _number(params, "count", 20)
        if not 1 <= count <= 1000:
            raise invalid("count", "must be between 1 and 1000")
        rows, following = source.settlements(
            _currency(params) if by_currency else "any",
            name,
            TYPES if kind == "any" else (kind,),
            _page(params, source),
            count,
        )
        token = "none" if following is None else f"{following[0]}-{following[1]}"
        return {"settlements": rows, "continuation": token}

    return answer


def _page(params: Params, source: Source) -> tuple[int, int]:
    """Where a page begins: its ``continuation``, else a time, else now."""
    token = _text(params, "continuation", "") if params.get("continuation") else ""
    if not token:
        return _number(params, "search_start_timestamp", source.now_ms()), 0
    at, dash, skip = token.partition("-")
    if not (dash and at.isascii() and at.isdigit() and skip.isascii() and skip.isdigit()):
        raise invalid("continuation")
    return int(at), int(skip)


METHODS: Final[Mapping[str, Method]] = {
    "get_time": lambda source, _params: source.now_ms(),
    "test": lambda _source, _params: {"version": "1.2.26"},
    "hello": lambda _source, _params: {"version": "1.2.26"},
    "status": lambda _source, _params: {"locked": "false", "locked_indices": []},
    "get_currencies": lambda _source, _params: documents.currencies(),
    "get_instruments": _instruments,
    "get_instrument": _instrument,
    "get_book_summary_by_currency": lambda source, params: source.summaries(
        _currency(params), _kind(params)
    ),
    "get_book_summary_by_instrument": lambda source, params: [
        source.summary(_text(params, "instrument_name"))
    ],
    "ticker": lambda source, params: source.ticker(_text(params, "instrument_name")),
    "get_order_book": _order_book,
    "get_index_price": _index,
    "get_index_price_names": lambda _source, _params: [
        *INDEX_NAMES.values(),
        *(f"{INDEX_NAMES[asset]}c" for asset in LINEAR),
    ],
    "get_expirations": _expirations,
    "get_delivery_prices": _delivery_prices,
    "get_last_settlements_by_currency": _settlements(by_currency=True),
    "get_last_settlements_by_instrument": _settlements(by_currency=False),
    "get_historical_volatility": lambda source, params: source.realised_volatility(
        _text(params, "currency")
    ),
    "get_funding_rate_history": lambda source, params: source.funding_history(
        _text(params, "instrument_name"), *_span(params, source)
    ),
    "get_funding_rate_value": _funding_value,
    "get_tradingview_chart_data": _chart,
    "get_volatility_index_data": _volatility,
    "get_last_trades_by_instrument": _trades(by_currency=False, in_time=False),
    "get_last_trades_by_instrument_and_time": _trades(by_currency=False, in_time=True),
    "get_last_trades_by_currency": _trades(by_currency=True, in_time=False),
    "get_last_trades_by_currency_and_time": _trades(by_currency=True, in_time=True),
}
