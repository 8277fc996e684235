"""Recording the sandbox and playing the recording gives the same events."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.core.management import CommandError, call_command

from apps.ingest.emulator import Emulator
from apps.ingest.record import RecordOptions, record
from apps.ingest.setups import emulator_setups
from apps.marketdata.events import Control, Event
from apps.marketdata.instruments import Instrument
from apps.sandbox.backend import ReplayBackend
from apps.venues.base import VenueEndpoints
from apps.venues.errors import VenueError
from apps.venues.registry import ADAPTERS
from apps.venues.stream_client import StreamState
from tests.sandbox.conftest import FEW, Client, Starter, start

__all__ = ["start"]
SECONDS = 3.5
FEW_ASSETS = frozenset(FEW)
Told = dict[tuple[str, str], list[Any]]


def by_kind(events: list[Event]) -> Told:
    """Market events by type and instrument, in order, without the time at which they were received."""
    out: Told = defaultdict(list)
    for event in events:
        if not isinstance(event, Control):
            row = {
                name: getattr(event, name)
                for name in event.__struct_fields__
                if name not in ("ts_recv", "instrument")
            }
            if row.get("ts_event") == event.ts_recv:
                # The venue sends no time with it.
                row["ts_event"] = None
            instrument: Instrument | None = getattr(event, "instrument", None)
            out[type(event).__name__, instrument.key if instrument else ""].append(row)
    return out


async def played(client: Client, venues: list[str]) -> list[Event]:
    """Everything that our clients make of a replay."""
    emulator = Emulator("127.0.0.1", client.config.port)
    events: list[Event] = []

    def ignore(_state: StreamState) -> None:
        """Health is of no interest here."""

    clients = []
    for setup in await emulator_setups([ADAPTERS[venue] for venue in venues], emulator):
        assert setup.instruments is not None
        clients.append(
            setup.adapter.stream_client(
                endpoints=setup.endpoints,
                instruments=setup.instruments,
                stream_plan=setup.plan(setup.instruments),
                on_event=events.append,
                on_state=ignore,
                now_ns=time.time_ns,
                rng=random.Random(1),
            )
        )
    assert len(clients) == len(venues)
    running = [asyncio.create_task(one.run()) for one in clients]
    backend = client.sandbox.backend
    assert isinstance(backend, ReplayBackend)
    await asyncio.wait_for(backend.player.finished.wait(), 30)
    # What was sent last is still on its way.
    await asyncio.sleep(0.3)
    for one in clients:
        await one.stop()
    await asyncio.gather(*running, return_exceptions=True)
    return events


@pytest.mark.parametrize("venue", list(ADAPTERS))
async def test_a_recording_of_the_sandbox_plays_the_same_events(
    start: Starter, tmp_path: Path, venue: str
) -> None:
    sandbox = await start()
    emulator = Emulator("127.0.0.1", sandbox.config.port)
    heard: list[Event] = []
    out = tmp_path / "taken"
    (recorder,) = await record(
        await emulator_setups([ADAPTERS[venue]], emulator),
        RecordOptions(out, FEW_ASSETS, SECONDS),
        time.time_ns,
        on_event=heard.append,
    )
    assert recorder.trouble == []
    manifest = json.loads((out / "manifest.json").read_text())
    assert {one["venue"] for one in manifest["recordings"]} == {venue}
    lines = 0
    for one in manifest["recordings"]:
        for part in one["files"]:
            messages = gzip.decompress((out / part["messages"]).read_bytes()).splitlines()
            received = gzip.decompress((out / part["received"]).read_bytes()).split()
            assert len(messages) == len(received)
            assert received == sorted(received)
            lines += len(messages)
    assert lines == recorder.frames > 20
    replay = await start(mode="replay", recordings=(str(out),), speed=20.0, grace_s=5.0)
    again = by_kind(await played(replay, [venue]))
    assert again == by_kind(heard)


async def test_binance_books_begin_in_the_recording(start: Starter, tmp_path: Path) -> None:
    sandbox = await start()
    emulator = Emulator("127.0.0.1", sandbox.config.port)
    out = tmp_path / "books"
    await record(
        await emulator_setups([ADAPTERS["binance"]], emulator),
        RecordOptions(out, frozenset({"BTC"}), 3.0),
        time.time_ns,
    )
    replay = await start(mode="replay", recordings=(str(out),))
    recorded = json.loads((out / "binance_main_depth_BTCUSDT.json").read_text())
    body = await replay.get("um", "/fapi/v1/depth", symbol="BTCUSDT", limit=1000)
    assert body == recorded
    spot = json.loads((out / "binance_spot_depth_BTCUSDT.json").read_text())
    assert await replay.get("spot", "/api/v3/depth", symbol="BTCUSDT", limit=5000) == spot
    # Changes before and after the book were recorded, so that a client can join them.
    text = gzip.decompress((out / "binance_main.ndjson.gz").read_bytes()).splitlines()
    updates = [msgspec.json.decode(line)["data"] for line in text if b'"depthUpdate"' in line]
    assert updates[0]["U"] <= recorded["lastUpdateId"] < updates[-1]["u"]


async def test_a_venue_that_does_not_answer_is_left_out(start: Starter, tmp_path: Path) -> None:
    sandbox = await start()
    emulator = Emulator("127.0.0.1", sandbox.config.port)
    names = [venue for venue in ADAPTERS if venue != "binance"][:1]
    setups = await emulator_setups([ADAPTERS["binance"], ADAPTERS[names[0]]], emulator)
    nowhere = VenueEndpoints(
        rest="http://127.0.0.1:9", ws="ws://127.0.0.1:9",
        spot_rest="http://127.0.0.1:9", spot_ws="ws://127.0.0.1:9",
    )  # fmt: skip
    away = replace(setups[0], endpoints=nowhere)
    options = RecordOptions(tmp_path / "one", frozenset({"BTC"}), 1.5)
    lost, other = await record([away, setups[1]], options, time.time_ns)
    assert len(lost.trouble) == 1
    assert (lost.frames, other.trouble) == (0, [])
    manifest = json.loads((tmp_path / "one" / "manifest.json").read_text())
    assert {one["venue"] for one in manifest["recordings"]} == {names[0]}
    with pytest.raises(VenueError, match="no venue could be asked"):
        await record([away], RecordOptions(tmp_path / "none", FEW_ASSETS, 1.0), time.time_ns)
    assert not (tmp_path / "none" / "manifest.json").exists()


def test_it_refuses_what_it_cannot_record(tmp_path: Path, settings: Any) -> None:
    settings.MARKET = "sandbox"
    with pytest.raises(CommandError, match=r"unknown venue nyse.*binance"):
        call_command("record", out=tmp_path, venues="nyse")
    with pytest.raises(CommandError, match="unknown asset NOPE"):
        call_command("record", out=tmp_path, assets="btc,nope")
    with pytest.raises(CommandError, match="above 0"):
        call_command("record", out=tmp_path, seconds=0.0)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(CommandError, match="holds a recording already"):
        call_command("record", out=tmp_path)
    settings.MARKET = "replay"
    with pytest.raises(CommandError, match="nothing to record"):
        call_command("record", out=tmp_path)
