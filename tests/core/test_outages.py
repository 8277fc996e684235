"""One line when it begins, one a minute, one when it is over."""

from __future__ import annotations

from typing import Any

from structlog.testing import capture_logs

from apps.core.logs import get_logger
from apps.core.outages import AGAIN_S, Outage


class Time:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def fail(outage: Outage, time: Time, seconds: int) -> None:
    for _ in range(seconds):
        outage.failed(ConnectionError("refused"), waiting=3)
        time.now_s += 1.0


def watched(time: Time) -> Outage:
    return Outage(get_logger("test"), "redis_away", now_s=time, what="clock")


def test_three_minutes_of_failures_are_four_lines() -> None:
    time = Time()
    with capture_logs() as lines:
        outage = watched(time)
        fail(outage, time, 150)
        outage.over()
    first, *again, last = lines
    told: dict[str, Any] = {
        "event": "redis_away", "log_level": "warning", "error": "ConnectionError",
        "reason": "refused", "what": "clock", "waiting": 3,
    }  # fmt: skip
    assert first == told
    assert again == [
        {**told, "failures": 61, "seconds": 60},
        {**told, "failures": 121, "seconds": 120},
    ]
    assert last == {
        "event": "redis_away_over", "log_level": "info",
        "what": "clock", "failures": 150, "seconds": 150,
    }  # fmt: skip


def test_what_works_says_nothing_and_the_next_outage_begins_anew() -> None:
    time = Time()
    with capture_logs() as lines:
        outage = watched(time)
        outage.over()
        assert lines == []
        fail(outage, time, 2)
        outage.over()
        outage.over()
        fail(outage, time, int(AGAIN_S))
    assert [line["event"] for line in lines] == ["redis_away", "redis_away_over", "redis_away"]
    assert lines[1]["failures"] == 2
    assert "failures" not in lines[2]


def test_an_error_without_words_is_named() -> None:
    with capture_logs() as lines:
        watched(Time()).failed(TimeoutError())
    assert (lines[0]["error"], lines[0]["reason"]) == ("TimeoutError", "TimeoutError")
