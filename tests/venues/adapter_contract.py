"""What every venue adapter must pass. A venue brings a folder under ``tests/fixtures/venues/<venue>``:

``instruments.json`` (instruments the frames speak of), ``frames/*`` (one minimal wire message each,
written by hand) and ``expected.json``: per file the connection it arrives on, what becomes of it, the kind
it is counted under, and the events it turns into.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.marketdata.events import Control, Event, IndexPrice, VolatilityIndex
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.base import VenueAdapter
from apps.venues.parsing import ParseIssue, Parser, ParserStats
from apps.venues.registry import ADAPTERS

FIXTURES = Path(__file__).parent.parent / "fixtures" / "venues"
TS_RECV = 1_763_719_200_500_000_000
# 2019-01-01 and 2100-01-01 in ns: times outside are a wrong unit.
EARLIEST_NS, LATEST_NS = 1_546_300_800_000_000_000, 4_102_444_800_000_000_000
SIGNED = frozenset({"rate", "prev_seq", "delta", "theta", "rho", "interest_rate"})
"""Fields that may be negative."""
HOSTILE_FRAMES = [
    b"",
    b" ",
    b"{",
    b"}",
    b"[]",
    b"{}",
    b"null",
    b"true",
    b"42",
    b'"text"',
    b"[[[[[[",
    b"[1,2,3]",
    b'{"stream":null,"data":null}',
    b'{"stream":"x","data":[]}',
    b'{"stream":"x","data":[null,1,"a"]}',
    b'{"e":null}',
    b'{"e":{}}',
    b'{"e":1e999}',
    b"\x00\x01\x02\xff\xfe",
    b'{"e":"\xff\xfe"}',
    '{"e":"ünknown"}'.encode(),
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"e":"' + b"x" * 1_000_000 + b'"}',
]


class Expectation(msgspec.Struct, forbid_unknown_fields=True):
    connection: str
    outcome: str
    kind: str
    events: list[str]


@cache
def fixture_instruments(venue: str) -> tuple[Instrument, ...]:
    body = (FIXTURES / venue / "instruments.json").read_bytes()
    return msgspec.json.decode(body, type=tuple[Instrument, ...])


@cache
def expectations(venue: str) -> dict[str, Expectation]:
    body = (FIXTURES / venue / "expected.json").read_bytes()
    return msgspec.json.decode(body, type=dict[str, Expectation])


@cache
def frame(venue: str, name: str) -> bytes:
    return (FIXTURES / venue / "frames" / name).read_bytes()


def make_parser(
    venue: str, connection: str, issues: list[ParseIssue] | None = None
) -> tuple[Parser, ParserStats]:
    stats = ParserStats(venue, issues.append if issues is not None else lambda issue: None)
    parser = ADAPTERS[venue].make_parser(connection, fixture_instruments(venue), stats)
    return parser, stats


def numbers_of(event: Event) -> Iterator[tuple[str, float]]:
    """(field, value) of every number in an event, levels included."""
    for name in event.__struct_fields__:
        value: Any = getattr(event, name)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield name, float(value)
        elif isinstance(value, list):
            for price, qty in value:
                yield f"{name} price", price
                yield f"{name} size", qty


def assert_sane(event: Event) -> None:
    for name, number in numbers_of(event):
        assert math.isfinite(number), (name, number, event)
        if name not in SIGNED:
            assert number >= 0, (name, number, event)
    for name in ("ts_event", "ts_recv"):
        value = getattr(event, name, TS_RECV)
        assert isinstance(value, int), (name, event)


class AdapterContract:
    """Parametrised over the registered adapters by :mod:`tests.venues.test_adapters`."""

    def test_fixtures_are_complete(self, venue: str) -> None:
        on_disk = {path.name for path in (FIXTURES / venue / "frames").iterdir()}
        assert on_disk == set(expectations(venue))
        assert {item.venue for item in fixture_instruments(venue)} == {venue}
        connections = {expected.connection for expected in expectations(venue).values()}
        assert connections <= set(ADAPTERS[venue].connections)

    def test_registry_entry_is_complete(self, venue: str) -> None:
        adapter: VenueAdapter = ADAPTERS[venue]
        assert adapter.venue == venue
        assert adapter.connections
        assert InstrumentKind.PERP in adapter.book_rules
        assert adapter.endpoints.rest.startswith("https://")
        assert adapter.endpoints.ws.startswith("wss://")
        plan = adapter.stream_plan(fixture_instruments(venue))
        assert {spec.connection for spec in plan} <= set(adapter.connections)
        assert {"trade", "book"} <= {spec.kind for spec in plan}
        assert len({(spec.connection, spec.channel) for spec in plan}) == len(plan)
        assert all(spec.max_silence_s > 0 for spec in plan)

    def test_each_frame_becomes_what_it_should(self, venue: str) -> None:
        for name, expected in expectations(venue).items():
            parser, stats = make_parser(venue, expected.connection)
            events = parser.parse(frame(venue, name), TS_RECV)
            assert [type(event).__name__ for event in events] == expected.events, name
            counter = getattr(stats, expected.outcome)
            assert counter[expected.kind] >= 1, (name, stats)
            others = {"ok", "control", "unknown", "malformed"} - {expected.outcome}
            assert not any(getattr(stats, other) for other in others), (name, stats)

    def test_events_are_sane(self, venue: str) -> None:
        for name, expected in expectations(venue).items():
            parser, _ = make_parser(venue, expected.connection)
            for event in parser.parse(frame(venue, name), TS_RECV):
                assert_sane(event)
                assert event.ts_recv == TS_RECV
                if not isinstance(event, Control):
                    assert EARLIEST_NS < event.ts_event < LATEST_NS, (name, event)
                if not isinstance(event, Control | IndexPrice | VolatilityIndex):
                    assert event.instrument in fixture_instruments(venue)

    def test_hostile_frames_are_counted_and_reported_once_per_kind(self, venue: str) -> None:
        for connection in ADAPTERS[venue].connections:
            issues: list[ParseIssue] = []
            parser, stats = make_parser(venue, connection, issues)
            for _ in range(3):
                for raw in HOSTILE_FRAMES:
                    parser.parse(raw, TS_RECV)
            reported = [(issue.outcome, issue.kind) for issue in issues]
            assert len(reported) == len(set(reported)) > 0
            assert stats.malformed.total() >= 3
            assert all(len(issue.sample) <= 1_200 for issue in issues)

    def test_kinds_from_the_wire_do_not_fill_memory(self, venue: str) -> None:
        stats = ParserStats(venue)
        parser = ADAPTERS[venue].make_parser(
            ADAPTERS[venue].connections[0], fixture_instruments(venue), stats
        )
        for number in range(1_000):
            parser.parse(b'{"e":"kind%d","topic":"kind%d","channel":"k%d"}' % ((number,) * 3), 1)
        assert len(stats.unknown) + len(stats.malformed) < 200

    def test_truncated_frames_never_raise(self, venue: str) -> None:
        for name, expected in expectations(venue).items():
            raw = frame(venue, name)
            parser, stats = make_parser(venue, expected.connection)
            for end in range(len(raw)):
                assert parser.parse(raw[:end], TS_RECV) == []
            assert not stats.ok

    @settings(max_examples=150, deadline=None)
    @given(data=st.data())
    def test_mutated_frames_never_raise(self, venue: str, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(expectations(venue))))
        raw = bytearray(frame(venue, name))
        for _ in range(data.draw(st.integers(1, 6))):
            position = data.draw(st.integers(0, len(raw) - 1))
            end = data.draw(st.integers(position, min(len(raw), position + 12)))
            piece = data.draw(
                st.binary(max_size=4)
                | st.sampled_from(
                    [b"null", b"-1", b'"nan"', b"1e400", b"[]", b"{}", b'"', b"9" * 30]
                )
            )
            raw[position:end] = piece
            if not raw:
                break
        for connection in ADAPTERS[venue].connections:
            parser, stats = make_parser(venue, connection)
            for event in parser.parse(bytes(raw), TS_RECV):
                assert_sane(event)
            assert stats.messages >= 1 or raw.strip().endswith(b"]") or b"[]" in raw
