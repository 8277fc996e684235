"""Faults of the emulated venues' REST, and what ingest then says: DESIGN section 9, fault by fault."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from apps.sandbox.faces.registry import VENUES
from apps.venues import errors
from apps.venues.bybit import errors as bybit_errors
from apps.venues.deribit import refusals as deribit_refusals
from apps.venues.errors import VenueError, VenueRefused, VenueThrottled, VenueUnavailable
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
