"""How a channel is kept in Redis: names, positions, events; no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from apps.core.redis import market_key


def feed_keys(name: str) -> tuple[str, str, str]:
    """Ring, meta and state of a channel."""
    return (
        market_key("feed", "ring", name),
        market_key("feed", "meta", name),
        market_key("feed", "state", name),
    )


def writer_key(writer: str) -> str:
    return market_key("feed", "writer", writer)


def wanted_key() -> str:
    """Sorted set: on-demand channels by the wall time (ms) until which somebody listens."""
    return market_key("feed", "wanted")


@dataclass(slots=True, eq=False)
class Event:
    """One event of a channel. ``ts_ms`` is the event's own (market) time, ``wall_ms`` when it was appended;
    ``data`` is its JSON."""

    seq: int
    ts_ms: int
    wall_ms: int
    data: bytes
    _decoded: Any = field(default=None, repr=False)

    def decoded(self) -> Any:
        """The payload as an object, decoded once however many ask."""
        if self._decoded is None:
            self._decoded = orjson.loads(self.data)
        return self._decoded


@dataclass(frozen=True, slots=True)
class State:
    """The whole state after event ``seq``."""

    seq: int
    wall_ms: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Position:
    """Where a channel stands: ``seq`` is its last event's, ``base`` the seq before its epoch's first."""

    epoch: str
    seq: int
    base: int
    now_ms: int
    oldest: int | None
    state: State | None


def event_of(entry: Sequence[Any]) -> Event:
    """A stream entry as Redis answers it: ``[id, [b"t", …, b"w", …, b"d", …]]``."""
    identity, fields = entry
    return Event(int(identity[:-2]), int(fields[1]), int(fields[3]), fields[5])


def position_of(raw: Sequence[bytes]) -> Position:
    state = State(int(raw[5]), int(raw[6]), raw[7]) if raw[5] else None
    oldest = int(raw[4]) if raw[4] else None
    return Position(raw[0].decode(), int(raw[1]), int(raw[2]), int(raw[3]), oldest, state)
