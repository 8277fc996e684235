"""Records what venues send, in the form that a replay plays: frames, receive times, a manifest.

The frames are those of the ordinary streaming clients, byte for byte, acknowledgements and all. Order
books that begin with a REST answer get that answer recorded beside the stream.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from apps.core.logs import get_logger
from apps.ingest.record_files import FACTS, RecordingWriter, write_manifest
from apps.ingest.setups import VenueSetup, listed_instruments
from apps.marketdata.events import Event
from apps.marketdata.instruments import Instrument
from apps.venues.errors import VenueError
from apps.venues.parsing import ParseIssue
from apps.venues.rest_client import GivesBookBodies, RestClient
from apps.venues.stream_client import StreamClient, StreamState, StreamStatus, Tappable

logger = get_logger(__name__)

SPOT: Final = "spot"
MAIN: Final = "main"
_FLUSH_S: Final = 1.0
_BOOK_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """``seconds`` counts from the moment that the streams of all venues are being opened."""

    out: Path
    assets: frozenset[str]
    seconds: float


class VenueRecorder:
    """One venue: its streams into files. ``on_event`` also gets what the frames mean."""

    def __init__(
        self,
        setup: VenueSetup,
        out: Path,
        now_ns: Callable[[], int],
        on_event: Callable[[Event], None] = lambda _event: None,
    ) -> None:
        self.venue = setup.adapter.venue
        self.trouble: list[str] = []
        self._setup = setup
        self._out = out
        self._now_ns = now_ns
        self._on_event = on_event
        self._instruments: list[Instrument] = []
        self._writers: dict[str, RecordingWriter] = {}
        self._books: dict[str, dict[str, Any]] = {SPOT: {}, MAIN: {}}
        self._rest: RestClient = setup.adapter.rest_client(
            endpoints=setup.endpoints, now_ns=now_ns, rate_multiplier=setup.rate_multiplier
        )
        self._client: StreamClient | None = None

    async def prepare(self, assets: frozenset[str]) -> None:
        """Ask the venue what it lists. Raises :class:`VenueError`."""
        self._instruments = await listed_instruments(self._setup, self._rest, assets)

    async def run(self) -> None:
        """Record until cancelled."""
        client = self._setup.adapter.stream_client(
            endpoints=self._setup.endpoints,
            instruments=self._instruments,
            stream_plan=self._setup.plan(self._instruments),
            on_event=self._on_event,
            on_state=self._note_state,
            now_ns=self._now_ns,
            rng=random.Random(),  # noqa: S311 jitter needs no secrecy
            report=self._note_issue,
        )
        if not isinstance(client, Tappable):
            raise TypeError(f"{self.venue}: its client cannot be listened to")
        client.tap(self._add)
        self._client = client
        async with asyncio.TaskGroup() as group:
            group.create_task(client.run())
            group.create_task(self._flush())
            group.create_task(self._fetch_books())

    async def close(self) -> list[dict[str, Any]]:
        """Finish the files; what the manifest says of them."""
        if self._client is not None:
            await self._client.stop()
        await self._rest.close()
        return [self._entry(face, writer) for face, writer in self._writers.items()]

    @property
    def frames(self) -> int:
        return sum(writer.frames for writer in self._writers.values())

    def _add(self, connection: str, frame: bytes, ts_recv: int) -> None:
        face = SPOT if connection == SPOT else MAIN
        writer = self._writers.get(face)
        if writer is None:
            writer = self._writers[face] = RecordingWriter(self._out, f"{self.venue}_{face}")
        writer.add(frame, ts_recv)

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_S)
            for writer in self._writers.values():
                writer.flush()

    async def _fetch_books(self) -> None:
        """One REST book per instrument, once the changes that follow it are being recorded."""
        if not isinstance(self._rest, GivesBookBodies):
            return
        await asyncio.sleep(_FLUSH_S)
        for instrument in self._instruments:
            await self._fetch_book(self._rest, instrument)

    async def _fetch_book(self, rest: GivesBookBodies, instrument: Instrument) -> None:
        face = SPOT if instrument.kind.value == SPOT else MAIN
        for _ in range(_BOOK_TRIES):
            try:
                body = await rest.book_body(instrument)
            except VenueError as error:
                self.trouble.append(f"book of {instrument.symbol}: {error}")
                await asyncio.sleep(error.retry_after or _FLUSH_S)
                continue
            name = f"{self.venue}_{face}_depth_{instrument.symbol}.json"
            await asyncio.to_thread((self._out / name).write_bytes, body)
            self._books[face][instrument.symbol] = {"file": name, "received_ns": self._now_ns()}
            return

    def _entry(self, face: str, writer: RecordingWriter) -> dict[str, Any]:
        writer.close()
        own = [one for one in self._instruments if (one.kind.value == SPOT) is (face == SPOT)]
        if not any(face == SPOT for face in self._writers):
            own = self._instruments
        return {
            "name": f"{self._out.name}-{self.venue}-{face}",
            "venue": self.venue,
            "connection": face,
            "files": [{"messages": writer.messages.name, "received": writer.received.name}],
            "instruments": [{name: getattr(one, name) for name in FACTS} for one in own],
            "depth": self._books[face],
        }

    def _note_state(self, state: StreamState) -> None:
        if state.status is StreamStatus.RECONNECTING:
            self.trouble.append(f"{state.channel}: {state.reason}")

    def _note_issue(self, issue: ParseIssue) -> None:
        self.trouble.append(f"{issue.outcome.value} {issue.kind}: {issue.reason}")


async def record(
    setups: Sequence[VenueSetup],
    options: RecordOptions,
    now_ns: Callable[[], int],
    *,
    on_event: Callable[[Event], None] = lambda _event: None,
    stop: asyncio.Event | None = None,
) -> list[VenueRecorder]:
    """Record all venues together for ``options.seconds``, or until ``stop``; writes the manifest last.

    A venue that does not list its instruments is left out, with the reason in its ``trouble``. Raises
    :class:`VenueError` when that leaves none.
    """
    await asyncio.to_thread(options.out.mkdir, parents=True, exist_ok=True)
    recorders = [VenueRecorder(setup, options.out, now_ns, on_event) for setup in setups]
    entries: list[dict[str, Any]] = []
    try:
        outcomes = await asyncio.gather(*(_prepared(one, options.assets) for one in recorders))
        ready = [one for one, is_ready in zip(recorders, outcomes, strict=True) if is_ready]
        if not ready:
            reasons = "; ".join(f"{one.venue}: {' '.join(one.trouble)}" for one in recorders)
            raise VenueError("record", f"no venue could be asked: {reasons}")
        await _run_for(ready, options.seconds, stop or asyncio.Event())
    finally:
        for one in recorders:
            entries += await one.close()
    await asyncio.to_thread(write_manifest, options.out, entries)
    return recorders


async def _prepared(recorder: VenueRecorder, assets: frozenset[str]) -> bool:
    try:
        await recorder.prepare(assets)
    except VenueError as error:
        recorder.trouble.append(error.detail)
        return False
    return True


async def _run_for(recorders: Iterable[VenueRecorder], seconds: float, stop: asyncio.Event) -> None:
    running = [asyncio.create_task(one.run()) for one in recorders]
    stopped = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait(
            [*running, stopped], timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            task.result()
    finally:
        for task in (*running, stopped):
            task.cancel()
        await asyncio.gather(*running, stopped, return_exceptions=True)
