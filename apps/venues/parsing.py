"""What a parser is, and what became of each message that it was given. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from apps.marketdata.events import Event

SAMPLE_BYTES: Final = 300
"""How much of an offending message goes into the log."""

MAX_ISSUE_KINDS: Final = 64
"""Kinds come from the wire; a hostile or broken peer must not fill memory or the log with them."""


class ParseOutcome(StrEnum):
    """What became of one wire message; every message has exactly one outcome."""

    OK = "ok"
    CONTROL = "control"
    """Acks, errors, pongs: no market data."""
    IGNORED = "ignored"
    """Well formed, but outside of what FOCSAL covers: a foreign symbol, a print that is no trade."""
    UNKNOWN = "unknown"
    """A message type, or a value of an enumeration, that the adapter does not know."""
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class ParseIssue:
    """The first unknown or malformed message of its kind; ``sample`` is its truncated beginning."""

    venue: str
    outcome: ParseOutcome
    kind: str
    reason: str
    sample: str


@dataclass(slots=True)
class ParserStats:
    """Messages per kind, by what became of them; in an array frame every element is a message.

    Each unknown or malformed kind is reported once, with a sample.
    """

    venue: str
    report: Callable[[ParseIssue], None] = lambda issue: None
    ok: Counter[str] = field(default_factory=Counter)
    control: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    malformed: Counter[str] = field(default_factory=Counter)

    def issue(self, outcome: ParseOutcome, kind: str, reason: str, raw: bytes) -> None:
        """Count an unknown or malformed message and report the first of its kind."""
        counter = self.unknown if outcome is ParseOutcome.UNKNOWN else self.malformed
        if len(counter) >= MAX_ISSUE_KINDS and kind not in counter:
            kind = "other"
        counter[kind] += 1
        if counter[kind] == 1:
            sample = raw[:SAMPLE_BYTES].decode("utf-8", "backslashreplace")
            self.report(ParseIssue(self.venue, outcome, kind, reason, sample))

    @property
    def messages(self) -> int:
        counters = (self.ok, self.control, self.ignored, self.unknown, self.malformed)
        return sum(counter.total() for counter in counters)


class Parser(Protocol):
    """Bytes of one connection in, events out. Never raises; keeps no market state."""

    @property
    def stats(self) -> ParserStats: ...

    def parse(self, raw: bytes, ts_recv: int) -> list[Event]:
        """Events of one frame; ``ts_recv`` in ns. Empty for ignored, unknown and malformed frames."""
        ...
