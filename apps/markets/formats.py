"""JSON, CSV and NDJSON: which one a caller wants, and how rows become lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from apps.core.errors import NotAcceptable
from apps.core.jsonout import dumps, plain_decimal
from apps.core.params import QueryParams


class Format(StrEnum):
    JSON = "json"
    CSV = "csv"
    NDJSON = "ndjson"

    @property
    def content_type(self) -> str:
        return _CONTENT_TYPES[self]


_CONTENT_TYPES: Final = {
    Format.JSON: "application/json",
    Format.CSV: "text/csv; charset=utf-8",
    Format.NDJSON: "application/x-ndjson",
}
_BY_MEDIA: Final = {
    "application/json": Format.JSON,
    "application/problem+json": Format.JSON,
    "application/*": Format.JSON,
    "*/*": Format.JSON,
    "text/csv": Format.CSV,
    "text/*": Format.CSV,
    "application/x-ndjson": Format.NDJSON,
    "application/ndjson": Format.NDJSON,
}


def wanted_format(params: QueryParams, accept: str) -> Format:
    """``format=`` decides; without it the ``Accept`` header does."""
    if params.text("format") is not None:
        return Format(params.choice("format", [one.value for one in Format], "json"))
    if not accept.strip():
        return Format.JSON
    for media in _by_preference(accept):
        if media in _BY_MEDIA:
            return _BY_MEDIA[media]
    raise NotAcceptable(
        "Accept: expected application/json, text/csv or application/x-ndjson.",
        param="Accept",
        extra={"expected": "application/json, text/csv, application/x-ndjson"},
    )


def accepts_json(accept: str) -> bool:
    """Whether an ``Accept`` header alone ends with JSON."""
    try:
        return wanted_format(QueryParams({}), accept) is Format.JSON
    except NotAcceptable:
        return False


def _by_preference(accept: str) -> list[str]:
    ranked: list[tuple[float, int, str]] = []
    for position, part in enumerate(accept[:1000].split(",")):
        media, *options = (piece.strip().lower() for piece in part.split(";"))
        quality = next((_quality(one[2:]) for one in options if one.startswith("q=")), 1.0)
        if quality > 0:
            ranked.append((-quality, position, media))
    return [media for _, _, media in sorted(ranked)]


def _quality(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 <= value <= 1 else 0.0


def csv_lines(columns: Sequence[str], records: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """A header and one line per record. Missing is empty; numbers are plain decimals."""
    yield ",".join(columns).encode() + b"\r\n"
    for record in records:
        cells = (_cell(record.get(column)) for column in columns)
        yield ",".join(cells).encode() + b"\r\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return plain_decimal(value)
    text = str(value)
    if any(char in text for char in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def ndjson_lines(records: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    for record in records:
        yield dumps(record) + b"\n"


def in_chunks(lines: Iterator[bytes], size: int = 32_768) -> Iterator[bytes]:
    """Join lines into pieces of about ``size`` bytes, so that one write carries many rows."""
    held: list[bytes] = []
    length = 0
    for line in lines:
        held.append(line)
        length += len(line)
        if length >= size:
            yield b"".join(held)
            held, length = [], 0
    if held:
        yield b"".join(held)
