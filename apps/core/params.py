"""Query parameters, read strictly and kindly: what is wrong is named, with what was expected and received.

The raw query string is parsed here, not by the framework, so that broken UTF-8, NUL bytes, absurd
lengths and repeated names all end in a 400 problem document.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl

from apps.core.errors import InvalidParameter

MAX_QUERY_CHARS: Final = 4096
MAX_FIELDS: Final = 32
# 2010-01-01 and 2100-01-01, in milliseconds: no market data lies outside.
EARLIEST_MS: Final = 1_262_304_000_000
LATEST_MS: Final = 4_102_444_800_000
ROWS_PER_COST: Final = 10_000
ASSETS_PER_COST: Final = 10
_ALL_ASSETS: Final = 65
_SHOWN_CHARS: Final = 60
_TRUE: Final = frozenset({"true", "1", "yes"})
_FALSE: Final = frozenset({"false", "0", "no"})
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}\Z", re.ASCII)
_EPOCH: Final = re.compile(r"[0-9]{1,17}(\.[0-9]{1,9})?\Z", re.ASCII)
_ISO: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|z|[+-][0-9]{2}:?[0-9]{2})?)?\Z",
    re.ASCII,
)
# An unescaped "+" of an offset arrives as a blank.
_LOST_PLUS: Final = re.compile(r" ([0-9]{2}:?[0-9]{2})\Z", re.ASCII)


def shown(value: str) -> str:
    """A caller's text as it may appear in a message: short and printable."""
    clean = "".join(char if char.isprintable() else "�" for char in value[:_SHOWN_CHARS])
    return f"'{clean}…'" if len(value) > _SHOWN_CHARS else f"'{clean}'"


def invalid(param: str, expected: str, received: str) -> InvalidParameter:
    """The one form of a parameter error: which, what was expected, what came."""
    return InvalidParameter(
        f"{param}: expected {expected}, received {shown(received)}.",
        param=param,
        extra={"expected": expected, "received": shown(received)[1:-1]},
    )


@dataclass(frozen=True, slots=True)
class QueryParams:
    """The parameters of one request, each given once."""

    values: Mapping[str, str]

    @classmethod
    def parse(cls, raw: str, allowed: Iterable[str]) -> QueryParams:
        """Read a raw query string; ``allowed`` are the names that this endpoint knows."""
        known = tuple(allowed)
        values: dict[str, str] = {}
        for name, value in _pairs(raw):
            if name not in known:
                label = shown(name)[1:-1]
                raise InvalidParameter(
                    f"{label}: not a parameter of this endpoint; it takes {_listed(known)}.",
                    param=label,
                    extra={"expected": f"one of {', '.join(known)}" if known else "none"},
                )
            if name in values:
                raise invalid(name, "the parameter once", value)
            if not value.isprintable():
                raise invalid(name, "printable text", value)
            values[name] = value
        return cls(values)

    def text(self, name: str) -> str | None:
        """The stripped value, or None when the parameter was not given."""
        value = self.values.get(name)
        return None if value is None else value.strip()

    def boolean(self, name: str, default: bool) -> bool:
        value = self.text(name)
        if value is None:
            return default
        if value.lower() in _TRUE:
            return True
        if value.lower() in _FALSE:
            return False
        raise invalid(name, "true or false", value)

    def integer(self, name: str, default: int, *, minimum: int, maximum: int) -> int:
        value = self.text(name)
        if value is None:
            return default
        if _INTEGER.match(value) is None or not minimum <= int(value) <= maximum:
            raise invalid(name, f"an integer from {minimum} to {maximum}", value)
        return int(value)

    def choice(self, name: str, allowed: Sequence[str], default: str) -> str:
        value = self.text(name)
        if value is None:
            return default
        if value.lower() not in allowed:
            raise invalid(name, f"one of {', '.join(allowed)}", value)
        return value.lower()

    def names(self, name: str) -> list[str] | None:
        """A comma-separated list, order kept, doubles dropped; None when not given."""
        value = self.text(name)
        if value is None:
            return None
        parts = [part.strip() for part in value.split(",")]
        if not all(parts):
            raise invalid(name, "a comma-separated list without empty entries", value)
        return list(dict.fromkeys(parts))

    def timestamp_ms(self, name: str) -> int | None:
        """A moment as milliseconds since the epoch: ISO 8601 (UTC unless it says otherwise), or epoch."""
        value = self.text(name)
        return None if value is None else _timestamp_ms(name, value)


def _pairs(raw: str) -> list[tuple[str, str]]:
    if len(raw) > MAX_QUERY_CHARS:
        raise InvalidParameter(
            f"query: expected at most {MAX_QUERY_CHARS} characters, received {len(raw)}.",
            param="query",
            extra={"expected": f"at most {MAX_QUERY_CHARS} characters", "received": str(len(raw))},
        )
    try:
        pairs = parse_qsl(
            raw, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS, separator="&"
        )
    except UnicodeDecodeError:
        raise invalid("query", "UTF-8 text, percent-encoded", raw) from None
    except ValueError:
        raise invalid("query", f"at most {MAX_FIELDS} parameters", raw) from None
    # A surrogate would be raw bytes that the server could not decode.
    if not raw.isascii() and any("\udc80" <= char <= "\udcff" for char in raw):
        raise invalid("query", "UTF-8 text, percent-encoded", raw)
    return pairs


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"


def _timestamp_ms(name: str, value: str) -> int:
    expected = "ISO 8601 (2026-05-17T20:00:00Z) or epoch seconds or milliseconds, 2010 to 2100"
    if _EPOCH.match(value):
        number = float(value)
        # Seconds until the year 5138 and milliseconds since 1973 do not overlap at this border.
        moment_ms = int(number) if number >= 1e11 else round(number * 1000)
    else:
        text = _LOST_PLUS.sub(r"+\1", value) if "T" in value else value
        if _ISO.match(text) is None:
            raise invalid(name, expected, value)
        try:
            moment = datetime.fromisoformat(text.upper())
        except ValueError:
            raise invalid(name, expected, value) from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        try:
            moment_ms = round(moment.timestamp() * 1000)
        except (OverflowError, OSError):
            raise invalid(name, expected, value) from None
    if not EARLIEST_MS <= moment_ms < LATEST_MS:
        raise invalid(name, expected, value)
    return moment_ms


def request_cost(path: str, query: str) -> int:
    """What a call costs: 1; ceil(n/10) for n assets; plus 1 per full 10,000 rows. Never raises.

    ``path`` is accepted so that a later endpoint may cost more. Garbage costs 1: it is answered 400.
    """
    if "assets=" not in query or len(query) > MAX_QUERY_CHARS:
        return 1
    try:
        given = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        return 1
    assets = given.get("assets", "").strip()
    if not assets:
        return 1
    named = {part.strip().upper() for part in assets.split(",") if part.strip()}
    count = _ALL_ASSETS if assets == "*" else min(max(len(named), 1), _ALL_ASSETS)
    cost = -(-count // ASSETS_PER_COST)
    if "from" in given or "to" in given:
        cost += count * _rows(given.get("limit", "")) // ROWS_PER_COST
    return cost


def _rows(limit: str) -> int:
    return min(int(limit), 5000) if limit.isascii() and limit.isdigit() and len(limit) < 9 else 500
