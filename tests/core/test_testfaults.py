"""What ``X-Test-Fault`` may say, and what each fault does to an answer and to a socket."""

from __future__ import annotations

import copy
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.errors import InvalidParameter
from apps.core.testfaults import header
from apps.core.testfaults.header import HEADER, WORDS, TestFaults, read
from apps.core.testfaults.overlay import overlaid
from apps.core.testfaults.socket import SocketFaults
from apps.sandbox.faces.registry import VENUES

QUALITY = {"venues_used": ["binance", "bybit"], "venues_missing": ["okx"], "coverage": 0.8}
ANSWER: dict[str, Any] = {
    "asset": "BTC",
    "aggregate": {"value": 0.01, "unit": "percent_per_8h", "z_score": 1.5, "weighting": "oi",
                  "thresholds": {"percentile_from": 0.1}, "confidence": "full", **QUALITY},
    "venues": {"binance": 0.01, "bybit": 0.02},
    "venues_detail": {"binance": {"value": 0.01, "unit": "percent_per_8h", "rate_raw": "0.0001"},
                      "bybit": {"value": 0.02, "unit": "percent_per_8h", "rate_raw": "0.0002"}},
    "events": [{"venue": "binance", "price": 1.0}, {"venue": "bybit", "price": 2.0}],
    "meta": {"market": "sandbox", "snapshot_ts": "2026-11-21T12:00:00Z", "cadence_seconds": 60,
             "staleness_seconds": 7, "freshness": "fresh", "partial": False,
             "next_update_at": "2026-11-21T12:01:00.500Z",
             "sources": [{"venue": "binance", "status": "ok", "last_ok": "2026-11-21T12:00:00Z"},
                         {"venue": "bybit", "status": "ok", "last_ok": "2026-11-21T12:00:00Z"}]},
}  # fmt: skip


def faulty(text: str, answer: Any = ANSWER) -> Any:
    return json.loads(overlaid(orjson.dumps(answer), read(text, "test")))


def test_the_venues_are_those_that_are_covered() -> None:
    assert header.VENUES == VENUES


def test_a_venue_that_is_down_is_told_everywhere() -> None:
    before = copy.deepcopy(ANSWER)
    got = faulty("venue_down:binance")
    assert before == ANSWER
    assert got["venues"] == {"binance": None, "bybit": 0.02}
    assert got["venues_detail"]["binance"] == {
        "value": None, "unit": "percent_per_8h", "rate_raw": None, "null_reason": "venue_down",
    }  # fmt: skip
    assert got["venues_detail"]["bybit"] == ANSWER["venues_detail"]["bybit"]
    assert [one["status"] for one in got["meta"]["sources"]] == ["down", "ok"]
    assert got["meta"]["partial"] is True
    total = got["aggregate"]
    assert (total["venues_used"], total["venues_missing"]) == (["bybit"], ["binance", "okx"])
    assert (total["coverage"], total["confidence"]) == (0.4, "partial")
    assert [one["venue"] for one in got["events"]] == ["bybit"]


def test_no_venue_left_means_no_aggregate() -> None:
    total = faulty("venue_down:binance, venue_down:bybit")["aggregate"]
    assert (total["value"], total["z_score"], total["thresholds"]["percentile_from"]) == (None,) * 3
    assert (total["null_reason"], total["confidence"]) == ("venue_down", "withheld")
    assert (total["unit"], total["weighting"]) == ("percent_per_8h", "oi")
    assert total["venues_missing"] == ["binance", "bybit", "okx"]


def test_a_venue_that_is_not_part_of_an_answer_changes_nothing() -> None:
    assert faulty("venue_down:deribit") == ANSWER


@pytest.mark.parametrize(
    ("text", "freshness", "age", "made", "next_at"),
    [
        ("snapshot_stale", "stale", 187, "2026-11-21T11:57:00Z", "2026-11-21T11:58:00.500Z"),
        ("snapshot_very_stale", "very_stale", 607, "2026-11-21T11:50:00Z",
         "2026-11-21T11:51:00.500Z"),
    ],
)  # fmt: skip
def test_old_snapshots(text: str, freshness: str, age: int, made: str, next_at: str) -> None:
    meta = faulty(text)["meta"]
    assert (meta["freshness"], meta["staleness_seconds"]) == (freshness, age)
    assert (meta["snapshot_ts"], meta["next_update_at"]) == (made, next_at)


def test_no_data_and_half_a_body() -> None:
    got = faulty("no_data")
    assert (got["aggregate"]["value"], got["aggregate"]["null_reason"]) == (None, "no_data")
    assert got["venues"] == {"binance": None, "bybit": None}
    assert got["meta"] == ANSWER["meta"]
    whole = orjson.dumps(ANSWER)
    assert overlaid(whole, read("truncated", "test")) == whole[: len(whole) // 2]


def test_many_assets_are_changed_each() -> None:
    got = faulty("venue_down:bybit", {"data": [ANSWER, ANSWER], "errors": [], "meta": {}})
    assert [one["venues"]["bybit"] for one in got["data"]] == [None, None]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("earthquake", "received 'earthquake'"),
        ("venue_down", "received 'venue_down'"),
        ("venue_down:nyse", "expected a venue of binance, bybit"),
        ("rate_limited:1", "received 'rate_limited:1'"),
        ("slow:11s", "expected 0s to 10s, received '11s'"),
        ("slow:-1s", "expected 0s to 10s"),
        ("slow:nan", "expected 0s to 10s"),
        ("", "expected 1 to 5 faults"),
        (",".join(["no_data"] * 6), "expected 1 to 5 faults"),
        ("x" * 300, "expected 1 to 5 faults"),
    ],
)
def test_what_is_not_allowed_is_named(text: str, what: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        read(text, "test")
    assert what in caught.value.detail
    assert caught.value.param == HEADER
    for word in WORDS:
        assert word.form in caught.value.detail


def test_live_has_none() -> None:
    with pytest.raises(InvalidParameter, match="fk_test_ keys; this is live"):
        read("slow:1s", "live")


@given(st.text(max_size=250))
def test_any_text_is_a_fault_or_a_400(text: str) -> None:
    try:
        faults = read(text, "test")
    except InvalidParameter:
        return
    assert 0.0 <= faults.slow_s <= 10.0
    assert 1 <= len(faults.words) <= 5


@pytest.mark.parametrize(
    ("text", "status", "close_code"),
    [
        ("rate_limited", 429, 4429),
        ("quota_exceeded", 429, 4429),
        ("server_error", 500, 1011),
        ("overloaded", 503, 1013),
        ("snapshot_missing", 503, 0),
    ],
)
def test_refusals(text: str, status: int, close_code: int) -> None:
    faults = read(text, "test")
    refusal = faults.refusal()
    assert refusal is not None
    assert (refusal.status, faults.close_code()) == (status, close_code)
    assert (refusal.retry_after is not None) == (status in (429, 503))


def frame(channel: str, data: Any, kind: str = "update") -> bytes:
    return orjson.dumps({"channel": channel, "seq": 1, "type": kind, "data": data})


def test_a_socket_with_faults() -> None:
    own = SocketFaults(read("venue_down:binance, gap, slow:0.5s, disconnect:3s", "test"))
    assert (own.delay_s, own.disconnect_s, own.close_code) == (0.5, 3.0, 0)
    assert own.frame(frame("liquidations.BTC", {"exchange": "binance", "price": 1})) is None
    kept = frame("liquidations.BTC", {"exchange": "bybit", "price": 1})
    got = [own.frame(kept) for _ in range(20)]
    # The tenth and the twentieth of all updates.
    assert [position for position, one in enumerate(got, 2) if one is None] == [10, 20]
    assert orjson.loads(got[0] or b"")["data"] == {"exchange": "bybit", "price": 1}
    snapshot = own.frame(frame("funding.BTC", ANSWER, "snapshot"))
    assert snapshot is not None
    assert orjson.loads(snapshot)["data"]["venues"]["binance"] is None
    answer = b'{"op":"subscribed","seq":3}'
    assert own.frame(answer) is answer


def test_faults_say_what_they_are() -> None:
    assert read(" Slow:2s ,NO_DATA", "test").applied == "slow:2s, no_data"
    assert TestFaults(("gap",)).changes_body is False
