"""The bytes of a snapshot, its age and its tag."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from apps.snapshots.contracts import Freshness, SnapshotDocument, base36, freshness_of


def payload(**meta: Any) -> dict[str, Any]:
    return {
        "asset": "BTC",
        "aggregate": {"value": 0.0000089},
        "meta": {
            "market": "sandbox",
            "staleness_seconds": 0,
            "freshness": "fresh",
            "partial": False,
        }
        | meta,
    }


def document(cadence_s: int = 60, **meta: Any) -> SnapshotDocument:
    return SnapshotDocument.from_payload(
        "markets.funding", payload(**meta), version=36, snapshot_ts_ms=60_000, cadence_s=cadence_s
    )


@pytest.mark.parametrize(
    ("now_ms", "age", "word", "tag"),
    [
        (59_000, 0, "fresh", 'W/"10-f"'),
        (60_999, 0, "fresh", 'W/"10-f"'),
        (180_999, 120, "fresh", 'W/"10-f"'),
        (181_000, 121, "stale", 'W/"10-s"'),
        (360_000, 300, "stale", 'W/"10-s"'),
        (361_000, 301, "very_stale", 'W/"10-v"'),
    ],
)
def test_body_says_its_age(now_ms: int, age: int, word: str, tag: str) -> None:
    body = document().body(now_ms)
    expected = payload(staleness_seconds=age, freshness=word)
    assert orjson.loads(body) == expected
    assert document().etag(now_ms) == tag


def test_body_has_plain_decimals() -> None:
    assert b'"value":0.0000089' in document().body(60_000)


def test_partial_comes_from_meta() -> None:
    assert document(partial=True).partial
    assert not document().partial


def test_it_rejects_a_payload_without_age() -> None:
    with pytest.raises(ValueError, match="staleness_seconds"):
        SnapshotDocument.from_payload(
            "m", {"asset": "BTC", "meta": {}}, version=1, snapshot_ts_ms=0, cadence_s=60
        )


def test_next_update_is_the_next_slot_boundary() -> None:
    assert document().next_update_ms == 120_000
    assert document(cadence_s=300).next_update_ms == 300_000


def test_base36() -> None:
    assert [base36(n) for n in (0, 35, 36, 1_300_000)] == ["0", "z", "10", "rv34"]


def test_freshness_limits_are_inclusive() -> None:
    assert freshness_of(600, 300) is Freshness.FRESH
    assert freshness_of(1500, 300) is Freshness.STALE
    assert freshness_of(1501, 300) is Freshness.VERY_STALE
