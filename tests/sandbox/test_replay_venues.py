"""Recordings of several venues, played together to our own clients."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import TypeAlias

from apps.ingest.emulator import Emulator
from apps.ingest.setups import emulator_setups
from apps.sandbox.backend import ReplayBackend
from apps.sandbox.faces.registry import MAIN, VENUES, face_of
from apps.sandbox.replay.known import KNOWN
from apps.sandbox.replay.player import align
from apps.sandbox.replay.restamp import restamp
from apps.venues.registry import ADAPTERS
from apps.venues.stream_client import StreamState, StreamStatus, Tappable
from tests.sandbox.conftest import Starter

ALTS = "binance-usdm-alts-20210722"
NAMES = (ALTS, *(name for name, one in KNOWN.items() if one.venue in VENUES[1:]))
SPEED = 20.0
Frames: TypeAlias = defaultdict[tuple[str, str], list[bytes]]


def _note(got: Frames, venue: str, connection: str, raw: bytes, _ts_recv: int) -> None:
    face = face_of(venue, connection if connection == "spot" else MAIN)
    assert face is not None
    channel = face.channel_of(raw)
    if channel is not None:
        got[venue, channel].append(raw)


async def test_every_venues_recording_reaches_its_client_unbroken(
    start: Starter, captures_dir: Path
) -> None:
    client = await start(
        mode="replay", recordings=NAMES, captures=captures_dir, speed=SPEED, grace_s=10.0
    )
    backend = client.sandbox.backend
    assert isinstance(backend, ReplayBackend)
    player = backend.player
    emulator = Emulator("127.0.0.1", client.config.port)
    setups = await emulator_setups(ADAPTERS.values(), emulator)
    assert {one.adapter.venue for one in setups} == set(VENUES)
    got: Frames = defaultdict(list)
    lost: list[StreamState] = []

    def note_state(state: StreamState) -> None:
        if state.status is StreamStatus.RECONNECTING:
            lost.append(state)

    clients = []
    for setup in setups:
        assert setup.instruments is not None
        venue = setup.adapter.venue
        one = setup.adapter.stream_client(
            endpoints=setup.endpoints,
            instruments=setup.instruments,
            stream_plan=setup.plan(setup.instruments),
            on_event=lambda _event: None,
            on_state=note_state,
            now_ns=time.time_ns,
            rng=random.Random(1),
        )
        assert isinstance(one, Tappable)
        one.tap(partial(_note, got, venue))
        clients.append(one)
    running = [asyncio.create_task(one.run()) for one in clients]
    await asyncio.wait_for(player.finished.wait(), 40)
    # What was sent last is still on its way.
    await asyncio.sleep(0.5)
    for one in clients:
        await one.stop()
    await asyncio.gather(*running)
    assert lost == []
    expected: Frames = defaultdict(list)
    for recording, shift_ns in zip(player.recordings, align(player.recordings), strict=True):
        for frame in recording.frames:
            stream = recording.face.stream_of(frame.channel) if frame.channel else None
            if stream is not None:
                venue = recording.face.key.venue
                moved = restamp(frame.raw, shift_ns // 1_000_000, venue)
                expected[venue, frame.channel].append(moved)
    assert {venue for venue, _ in expected} == set(VENUES)
    assert {key: len(frames) for key, frames in got.items()} == {
        key: len(frames) for key, frames in expected.items()
    }
    assert got == expected
