"""Spans in which events were listened to: they grow, never shrink, and know nothing of the future."""

from __future__ import annotations

import pytest

from apps.marketdata.watching import (
    LIQUIDATIONS,
    Watched,
    WatchSpans,
    watch_spans,
    watch_spans_extend,
)
from tests.marketdata.samples import MINUTE, T0

pytestmark = pytest.mark.django_db(databases=["market"])


def pairs(spans: WatchSpans) -> list[tuple[int, int, int]]:
    columns = (spans.instrument_id, spans.since_ms, spans.until_ms)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def extend(*spans: Watched) -> None:
    watch_spans_extend(series=LIQUIDATIONS, spans=spans)


def read(start_ms: int, end_ms: int, as_of_ms: int | None = None) -> list[tuple[int, int, int]]:
    return pairs(watch_spans(LIQUIDATIONS, [7, 8], start_ms, end_ms, as_of_ms))


def test_a_span_grows_and_never_shrinks() -> None:
    extend(Watched(7, T0, T0 + 100), Watched(8, T0 + 1, T0 + 50))
    extend(Watched(7, T0, T0 + 300), Watched(7, T0 + 900, T0 + 950))
    extend(Watched(7, T0, T0 + 200))
    assert read(T0, T0 + MINUTE) == [
        (7, T0, T0 + 300),
        (8, T0 + 1, T0 + 50),
        (7, T0 + 900, T0 + 950),
    ]


def test_empty_spans_are_not_kept() -> None:
    extend(Watched(7, T0, T0), Watched(8, T0, T0 - 5))
    extend()
    assert read(0, T0 + MINUTE) == []


def test_a_range_sees_what_touches_it() -> None:
    extend(Watched(7, T0, T0 + 100), Watched(7, T0 + 200, T0 + 300))
    # Half-open: what ends where the range begins is outside.
    assert read(T0 + 100, T0 + 200) == []
    assert read(T0 + 99, T0 + 201) == [(7, T0, T0 + 100), (7, T0 + 200, T0 + 201)]
    assert pairs(watch_spans("other", [7], 0, T0 + MINUTE, None)) == []


def test_at_a_moment_nothing_later_was_watched() -> None:
    extend(Watched(7, T0, T0 + 100), Watched(7, T0 + 200, T0 + 300))
    assert read(0, T0 + MINUTE, T0 + 40) == [(7, T0, T0 + 40)]
    assert read(0, T0 + MINUTE, T0) == []
    (found,) = [watch_spans(LIQUIDATIONS, [7, 8], 0, T0 + MINUTE, T0 + 250)]
    assert [one.tolist() for one in found.of(7)] == [[T0, T0 + 200], [T0 + 100, T0 + 250]]
    assert [one.tolist() for one in found.of(8)] == [[], []]
