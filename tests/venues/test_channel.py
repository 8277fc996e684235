"""Silence by a channel's own cadence."""

from __future__ import annotations

from apps.venues.channel import Channel
from apps.venues.stream_client import StreamSpec, StreamStatus
from apps.venues.timing import NS_PER_S, Timing

TIMING = Timing()
SPEC = StreamSpec("public", "trade1", "BTC", "trade", 120.0, "S1")


def test_a_quiet_instrument_is_given_its_own_time() -> None:
    channel = Channel(SPEC, StreamStatus.LIVE)
    now = 0
    assert channel.allowed_s(TIMING) == 120.0
    for gap_s in (1, 100, 2):
        now += gap_s * NS_PER_S
        channel.heard(now)
    # It was silent for 100 s and came back: three times that is nothing unusual.
    assert channel.allowed_s(TIMING) == 300.0
    now += 1000 * NS_PER_S
    channel.heard(now)
    assert channel.allowed_s(TIMING) == 1200.0


def test_an_outage_teaches_no_patience() -> None:
    channel = Channel(SPEC, StreamStatus.LIVE)
    channel.heard(0)
    channel.status = StreamStatus.STALE
    channel.heard(3600 * NS_PER_S)
    assert channel.allowed_s(TIMING) == 120.0
