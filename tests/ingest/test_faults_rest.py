"""Faults of the emulated venues' REST, and what ingest then says: DESIGN section 9, fault by fault."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from apps.sandbox.faces.registry import VENUES
from apps.venues import errors
from apps.venues.base import VenueError, VenueRefused, VenueThrottled, VenueUnavailable
from apps.venues.bybit import errors as bybit_errors
from apps.venues.deribit import refusals as deribit_refusals
from tests.ingest.rig import Rig, running, until

pytestmark = [
    pytest.mark.django_db(databases=["market"], transaction=True),
    pytest.mark.usefixtures("own_market", "threads_let_go"),
]
REFUSALS: Mapping[int, type[VenueError]] = {
    429: VenueThrottled,
    418: VenueThrottled,
    403: VenueRefused,
    451: VenueRefused,
    500: VenueUnavailable,
    503: VenueUnavailable,
}
MANY = 1_000_000


async def asked(rig: Rig, venue: str) -> VenueError | None:
    """What becomes of a question that ingest asks by itself when a stream does not bring the answer."""
    runner = rig.venue(venue)
    try:
        assert await runner.caller.once(runner.rest.mark_prices)
    except VenueError as error:
        return error
    return None


async def has_recovered(rig: Rig) -> None:
    rig.cause("clear")
    for venue in VENUES:
        assert await asked(rig, venue) is None, venue
    await until(rig.is_well, "all is well again")


async def are_told(rig: Rig, words: Mapping[str, str]) -> bool:
    """Whether these venues are degraded with these words, and no other; streams know nothing of it."""
    told = await rig.sources()
    assert {venue for venue, (status, _) in told.items() if status != "ok"} <= set(words)
    return all(
        told[venue][0] == "degraded" and word in told[venue][1] for venue, word in words.items()
    )


async def test_refusals_are_named_and_streams_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every venue refuses with every status in turn, each with another one than its neighbours."""
    # What is said where the venue says nothing: a real refusal holds all calls for ten minutes.
    for status in (403, 418, 429, 451):
        monkeypatch.setitem(errors._DEFAULT_RETRY_S, status, 1.0)
    monkeypatch.setattr(bybit_errors, "REFUSED_S", 1.0)
    monkeypatch.setattr(deribit_refusals, "THROTTLED_S", 1.0)
    statuses = list(REFUSALS)
    async with running(tmp_path) as rig:
        before = rig.counts()
        for turn in range(len(statuses)):
            words: dict[str, str] = {}
            for number, venue in enumerate(VENUES):
                status = statuses[(turn + number) % len(statuses)]
                rig.cause("http_status", venue=venue, status=status, count=MANY, retry_after=1)
                error = await asked(rig, venue)
                assert error is not None
                assert error.status == status
                # Hyperliquid answers 500 to a coin that it does not have.
                if (venue, status) != ("hyperliquid", 500):
                    assert isinstance(error, REFUSALS[status]), (venue, status)
                words[venue] = f"HTTP {status}"
            await until(partial(are_told, rig, words), f"all are named: {words}")
            assert set((await rig.book_states()).values()) == {"live"}
            await has_recovered(rig)
        after = rig.counts()
        assert (after.gaps, after.reconnects) == (before.gaps, before.reconnects)


@pytest.mark.parametrize("form", ["malformed", "truncated"])
async def test_a_broken_body_is_named(tmp_path: Path, form: str) -> None:
    async with running(tmp_path) as rig:
        words: dict[str, str] = {}
        for venue in VENUES:
            rig.cause("http_body", venue=venue, form=form, count=MANY)
            error = await asked(rig, venue)
            assert error is not None
            words[venue] = "REST "
            await until(partial(are_told, rig, words), f"{venue}: it is named")
        assert set((await rig.book_states()).values()) == {"live"}
        await has_recovered(rig)


async def test_what_a_venue_asks_for_holds_all_its_calls(tmp_path: Path) -> None:
    """A ban of two minutes: nobody asks again before, and no other venue waits."""
    async with running(tmp_path) as rig:
        runner = rig.venue("binance")
        rig.cause("http_status", venue="binance", status=418, count=1)
        assert isinstance(await asked(rig, "binance"), VenueThrottled)
        assert 110 < runner.caller.held_s() <= 120
        for venue in VENUES[1:]:
            assert rig.venue(venue).caller.held_s() == 0
            assert await asked(rig, venue) is None
        face = [one for key, one in rig.sandbox.faces.items() if key.venue == "binance"]
        before = sum(one.requests for one in face)
        await until(lambda: are_told(rig, {"binance": "HTTP 418"}), "it is named")
        assert sum(one.requests for one in face) == before


async def test_slow_answers_are_waited_for_and_too_slow_ones_named(tmp_path: Path) -> None:
    """Two seconds hurt nobody; more than a client waits is said, and streams go on throughout."""
    async with running(tmp_path) as rig:
        for venue in VENUES:
            rig.cause("delay", venue=venue, seconds=2)
        for venue in VENUES:
            assert await asked(rig, venue) is None
        assert await rig.is_well()
        rig.cause("delay", seconds=50)
        found = await asyncio.gather(*(asked(rig, venue) for venue in VENUES))
        assert [type(error) for error in found] == [VenueUnavailable] * len(VENUES)
        words = dict.fromkeys(VENUES, "REST ")
        await until(lambda: are_told(rig, words), "all are named")
        assert set((await rig.book_states()).values()) == {"live"}
        await has_recovered(rig)
