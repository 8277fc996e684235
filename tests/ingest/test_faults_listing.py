"""Symbols that emulated venues delist or rename while ingest runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from asgiref.sync import sync_to_async

from apps.marketdata.models import ListingChange
from apps.sandbox.faces.registry import VENUES
from tests.ingest.rig import Counts, Rig, running, until

pytestmark = [
    pytest.mark.quiet,
    pytest.mark.django_db(databases=["market"], transaction=True),
    pytest.mark.usefixtures("own_market", "threads_let_go"),
]


def check_others(before: Counts, after: Counts, gone: set[str]) -> None:
    """Nothing else has stirred."""
    assert after.reconnects == before.reconnects
    assert {k: n for k, n in after.gaps.items() if k not in gone} == {
        k: n for k, n in before.gaps.items() if k not in gone
    }


async def test_what_is_delisted_is_let_go_of(tmp_path: Path) -> None:
    """BTC is gone from the lists of all venues, then from the live states; AAVE does not notice."""
    async with running(tmp_path) as rig:
        keys = {venue: rig.state(venue).key for venue in VENUES}
        before = rig.counts()
        for venue in VENUES:
            rig.cause("delist", venue=venue, symbol=rig.symbol(venue))

        async def are_gone() -> bool:
            board = await rig.board()
            others = {
                one for (_, asset), one in (await rig.book_states()).items() if asset == "AAVE"
            }
            assert others == {"live"}
            return not set(keys.values()) & set(board)

        await until(are_gone, "their live states are gone")
        assert await sync_to_async(changes)("delisted") >= set(keys.values())
        gone = {
            key
            for key in before.gaps
            if key.split(":")[2] in {k.split(":")[2] for k in keys.values()}
        }
        check_others(before, rig.counts(), gone)

        async def are_well() -> bool:
            return all(status == "ok" for status, _ in (await rig.sources()).values())

        await until(are_well, "all venues are well without it")


def changes(kind: str) -> set[str]:
    """Keys of the instruments of which a change of listing was noted."""
    return {
        f"{one.venue}:{one.kind}:{one.symbol}" for one in ListingChange.objects.filter(change=kind)
    }


RENAMED = {
    "binance": "XAAVEUSDT",
    "bybit": "XAAVEUSDT",
    "okx": "XAAVE-USDT-SWAP",
}
"""Hyperliquid's coins are their names: another name is another coin."""


async def test_what_is_renamed_is_followed_under_its_new_name(tmp_path: Path) -> None:
    """There and back again, at three venues at once; BTC does not notice."""
    async with running(tmp_path) as rig:
        old = {venue: rig.state(venue, "AAVE") for venue in RENAMED}
        for venue, new in RENAMED.items():
            rig.cause("rename", venue=venue, symbol=old[venue].symbol, to=new)

        async def are_renamed() -> bool:
            return await follows(rig, RENAMED)

        await until(are_renamed, "the new names are live")
        board = await rig.board()
        assert not {one.key for one in old.values()} & set(board)
        assert await sync_to_async(changes)("renamed") >= {
            f"{venue}:perp:{new}" for venue, new in RENAMED.items()
        }
        rig.cause("clear")

        async def are_back() -> bool:
            return await follows(rig, {venue: one.symbol for venue, one in old.items()})

        await until(are_back, "the old names are live again")
        await until(rig.is_well, "all is well")


async def follows(rig: Rig, symbols: dict[str, str]) -> bool:
    """Whether AAVE's books are live under these names."""
    board = await rig.board()
    found = {
        one.venue: one
        for one in board.values()
        if one.asset == "AAVE" and one.kind == "perp" and one.venue in symbols
    }
    return all(
        venue in found and found[venue].symbol == symbol and found[venue].book_state == "live"
        for venue, symbol in symbols.items()
    )
