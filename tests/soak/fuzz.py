"""A million mutated wire messages: no parser raises, every message is counted, every number is sane."""

from __future__ import annotations

import os
import random
from typing import Any, Final

from apps.venues.registry import ADAPTERS
from tests.venues.adapter_contract import TS_RECV, assert_sane, expectations, frame, make_parser

MESSAGES: Final = int(os.environ.get("FOCSAL_SOAK_MESSAGES", "1000000"))
_SPICE: Final = (
    b"-", b"e308", b"NaN", b"1e999", b'""', b"null", b"[", b"]", b"{", b"}", b"\x00", b"\xff", b"0", b".",
    b'"', b",", b"99999999999999999999", b"true",
)  # fmt: skip


def mutate(raw: bytes, rng: random.Random) -> bytes:
    """Cut, double, swap or spice a frame at one or two places."""
    data = bytearray(raw)
    for _ in range(rng.randint(1, 2)):
        if not data:
            break
        at = rng.randrange(len(data))
        match rng.randrange(5):
            case 0:
                del data[at : at + rng.randint(1, 12)]
            case 1:
                data[at:at] = rng.choice(_SPICE)
            case 2:
                data[at] = rng.randrange(256)
            case 3:
                data[at:at] = data[at : at + rng.randint(1, 20)]
            case _:
                data[at:] = b"" if rng.random() < 0.3 else data[at:]
    return bytes(data)


def run() -> dict[str, Any]:
    """Counts by outcome over all venues; the seed is fixed, so a failure can be had again."""
    rng = random.Random(20261121)
    parsers, frames = {}, []
    for venue in ADAPTERS:
        for name, expected in expectations(venue).items():
            frames.append((venue, expected.connection, frame(venue, name)))
            key = (venue, expected.connection)
            if key not in parsers:
                parsers[key] = make_parser(venue, expected.connection)
    events = 0
    for _ in range(MESSAGES):
        venue, connection, raw = rng.choice(frames)
        parser, _ = parsers[venue, connection]
        mutated = mutate(raw, rng)
        try:
            found = parser.parse(mutated, TS_RECV)
        except Exception as error:
            raise AssertionError(f"{venue} {connection}: {error!r} on {mutated!r}") from error
        for event in found:
            assert_sane(event)
        events += len(found)
    counted = sum(stats.messages for _, stats in parsers.values())
    # An array frame counts each element, so there are at least as many counts as frames.
    assert counted >= MESSAGES, f"expected {MESSAGES} messages counted, got {counted}"
    totals = {
        outcome: sum(getattr(stats, outcome).total() for _, stats in parsers.values())
        for outcome in ("ok", "control", "ignored", "unknown", "malformed")
    }
    return {"messages": MESSAGES, "venues": len(ADAPTERS), "events": events, **totals}
