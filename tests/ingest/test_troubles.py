"""One line per trouble, however many channels it has."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from apps.ingest.troubles import AGAIN_MS, GATHER_MS, Troubles
from apps.venues.stream_client import StreamState, StreamStatus
from apps.venues.streaming import BaseStreamClient
from tests.ingest.rig import running, until

T0 = 1_800_000_000_000
KINDS = ("trade", "book", "mark", "liquidation")
LOST = StreamStatus.RECONNECTING


def state(
    channel: str, ms: int, reason: str, status: StreamStatus = LOST, connection: str = "public"
) -> StreamState:
    kind = KINDS[hash(channel) % len(KINDS)]
    ts = (T0 + ms) * 1_000_000
    return StreamState("okx", connection, channel, "BTC", kind, status, reason, ts)


def test_a_lost_connection_is_one_line_with_a_count() -> None:
    troubles = Troubles()
    for number in range(260):
        troubles.add(state(f"channel-{number}", number % 5, "closed by the venue"))
    assert troubles.due(T0 + GATHER_MS - 1) == []
    (one,) = troubles.due(T0 + GATHER_MS)
    assert (one.connection, one.status, one.reason) == ("public", LOST, "closed by the venue")
    assert one.count == 260
    assert one.named == ("channel-0", "channel-1", "channel-2")
    assert troubles.due(T0 + 10 * AGAIN_MS) == []


def test_what_differs_in_numbers_alone_is_one_trouble() -> None:
    troubles = Troubles()
    for number in range(40):
        troubles.add(state(f"c{number}", 10 * number, f"silent for {number} s", StreamStatus.STALE))
    (one,) = troubles.due(T0 + GATHER_MS)
    assert (one.count, one.reason) == (40, "silent for 0 s")


def test_a_trouble_that_goes_on_is_told_once_a_minute() -> None:
    troubles = Troubles()
    told = []
    for second in range(180):
        troubles.add(state("a", second * 1_000, "could not connect"))
        told += [(second, one.count) for one in troubles.due(T0 + second * 1_000)]
    assert told == [(1, 2), (61, 60), (121, 60)]
    assert [one.count for one in troubles.rest()] == [58]
    assert troubles.rest() == []


def test_connections_statuses_and_causes_are_told_apart() -> None:
    troubles = Troubles()
    troubles.add(state("a", 0, "closed by the venue"))
    troubles.add(state("b", 0, "closed by the venue", connection="business"))
    troubles.add(state("c", 0, "silent for 7 s", StreamStatus.STALE))
    troubles.add(state("d", 0, "refused: no such channel", StreamStatus.STALE))
    troubles.add(state("e", 0, "", StreamStatus.LIVE))
    found = {(one.connection, one.status.value, one.reason) for one in troubles.due(T0 + GATHER_MS)}
    assert found == {
        ("public", "reconnecting", "closed by the venue"),
        ("business", "reconnecting", "closed by the venue"),
        ("public", "stale", "silent for 7 s"),
        ("public", "stale", "refused: no such channel"),
    }


@pytest.mark.quiet
@pytest.mark.django_db(databases=["market"], transaction=True)
@pytest.mark.usefixtures("own_market", "threads_let_go")
async def test_a_lost_venue_takes_one_line_per_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as rig:
        client = rig.venue("okx")._client
        assert isinstance(client, BaseStreamClient)
        channels: Counter[str] = Counter()
        for lane in client.lanes:
            channels.update({lane.connection: len(lane.specs)})
        caplog.clear()
        rig.cause("disconnect", venue="okx")

        def lines() -> list[dict[str, Any]]:
            found = [one.msg for one in caplog.records if isinstance(one.msg, dict)]
            return [
                one
                for one in found
                if one.get("event") == "stream_trouble" and one["status"] == "reconnecting"
            ]

        async def are_told() -> bool:
            return {one["connection"] for one in lines()} == set(channels)

        await until(are_told, "the loss is told")
        await until(rig.is_well, "all is well again")
        assert {one["venue"] for one in lines()} == {"okx"}
        assert {one["connection"]: one["channels"] for one in lines()} == dict(channels)
        assert len(lines()) == len(channels)
