"""What ``X-Test-Fault`` may say. Pure: text in, faults or a 400 out.

``venue_down:binance, slow:2s``: one or several, separated by commas.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from apps.core.errors import (
    FocsalError,
    InternalError,
    InvalidParameter,
    Overloaded,
    QuotaExceeded,
    RateLimited,
    SnapshotUnavailable,
)

HEADER: Final = "X-Test-Fault"
APPLIED_HEADER: Final = "X-Test-Fault-Applied"
VENUES: Final = ("binance", "bybit", "okx", "deribit", "hyperliquid")
LONGEST_S: Final = 10.0
MOST: Final = 5
_MAX_CHARS: Final = 200
_SECONDS: Final = re.compile(r"(\d{1,2}(?:\.\d{1,3})?)s?")


@dataclass(frozen=True, slots=True)
class FaultWord:
    """One word of the header as documented. ``takes``: what follows the colon; empty for nothing."""

    name: str
    takes: str
    rest: str
    socket: str

    @property
    def form(self) -> str:
        return f"{self.name}:{self.takes}" if self.takes else self.name


_VENUE: Final = "<venue>"
_TIME: Final = "<seconds>s"
_AS_USUAL: Final = "nothing changes"
WORDS: Final[tuple[FaultWord, ...]] = (
    FaultWord(
        "venue_down",
        _VENUE,
        "the venue's numbers are null with venue_down, meta.sources says down, partial is true",
        "the venue's events do not come, and snapshots say the same as REST",
    ),
    FaultWord(
        "snapshot_stale",
        "",
        "meta tells an age of three cadences and freshness stale",
        "the same in every frame that carries meta",
    ),
    FaultWord(
        "snapshot_very_stale",
        "",
        "meta tells an age of ten cadences and freshness very_stale",
        "the same in every frame that carries meta",
    ),
    FaultWord("snapshot_missing", "", "503 snapshot_unavailable with Retry-After", _AS_USUAL),
    FaultWord(
        "no_data", "", "values and their context are null with no_data", "the same in every frame"
    ),
    FaultWord("rate_limited", "", "429 rate_limited with Retry-After", "closed with 4429"),
    FaultWord("quota_exceeded", "", "429 quota_exceeded with Retry-After", "closed with 4429"),
    FaultWord("server_error", "", "500 internal", "closed with 1011"),
    FaultWord("overloaded", "", "503 overloaded with Retry-After", "closed with 1013"),
    FaultWord("slow", _TIME, f"the answer waits, at most {LONGEST_S:g} s", "every frame waits"),
    FaultWord(
        "truncated", "", "the body ends in the middle of the JSON", "frames end in the middle"
    ),
    FaultWord(
        "disconnect",
        _TIME,
        _AS_USUAL,
        f"cut without a goodbye so much later, at most {LONGEST_S:g} s",
    ),
    FaultWord("gap", "", _AS_USUAL, "every tenth frame of a channel does not come"),
)
_BY_NAME: Final[Mapping[str, FaultWord]] = {one.name: one for one in WORDS}
_REFUSALS: Final[Mapping[str, tuple[Callable[[], FocsalError], int]]] = {
    "rate_limited": (lambda: RateLimited("Test fault: too many requests.", retry_after=7), 4429),
    "quota_exceeded": (
        lambda: QuotaExceeded("Test fault: the quota is used up.", retry_after=60), 4429,
    ),
    "server_error": (lambda: InternalError("Test fault: the request failed on our side."), 1011),
    "overloaded": (lambda: Overloaded("Test fault: too busy.", retry_after=1), 1013),
    "snapshot_missing": (
        lambda: SnapshotUnavailable("Test fault: nothing is published yet.", retry_after=15), 0,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TestFaults:
    """What one caller asked for. Seconds are 0 where nothing was said."""

    __test__ = False

    words: tuple[str, ...]
    down: tuple[str, ...] = ()
    staleness: int = 0
    """Age to tell, in cadences; 0 leaves it as it is."""
    has_no_data: bool = False
    is_truncated: bool = False
    has_gaps: bool = False
    slow_s: float = 0.0
    disconnect_s: float | None = None

    @property
    def applied(self) -> str:
        return ", ".join(self.words)

    @property
    def changes_body(self) -> bool:
        return bool(self.down or self.staleness or self.has_no_data or self.is_truncated)

    def refusal(self) -> FocsalError | None:
        """The problem that a REST call is answered with, if one was asked for."""
        for word in self.words:
            if word in _REFUSALS:
                return _REFUSALS[word][0]()
        return None

    def close_code(self) -> int:
        """What a socket is closed with at once; 0 when it stays open."""
        return next((_REFUSALS[one][1] for one in self.words if one in _REFUSALS), 0)


def read(text: str, environment: str) -> TestFaults:
    """Raises :class:`InvalidParameter` naming what is allowed, and wherever keys are not test keys."""
    if environment != "test":
        raise InvalidParameter(
            "Test faults exist on sandbox and replay, with fk_test_ keys; this is live.",
            param=HEADER,
        )
    words = [one.strip().lower() for one in text.split(",") if one.strip()]
    if not words or len(words) > MOST or len(text) > _MAX_CHARS:
        raise _wrong(f"1 to {MOST} faults", text)
    down: list[str] = []
    values: dict[str, float] = {}
    for word in words:
        name, colon, value = word.partition(":")
        known = _BY_NAME.get(name)
        if known is None:
            raise _wrong("one of the faults that are allowed", word)
        if bool(colon) != bool(known.takes):
            raise _wrong(known.form, word)
        if known.takes == _VENUE:
            if value not in VENUES:
                raise _wrong(f"a venue of {', '.join(VENUES)}", value)
            down.append(value)
        values[name] = _seconds(value) if known.takes == _TIME else 0.0
    stale = 10 if "snapshot_very_stale" in values else 3 if "snapshot_stale" in values else 0
    return TestFaults(
        words=tuple(words),
        down=tuple(down),
        staleness=stale,
        has_no_data="no_data" in values,
        is_truncated="truncated" in values,
        has_gaps="gap" in values,
        slow_s=values.get("slow", 0.0),
        disconnect_s=values.get("disconnect"),
    )


def _seconds(text: str) -> float:
    found = _SECONDS.fullmatch(text)
    seconds = float(found.group(1)) if found else -1.0
    if not 0.0 <= seconds <= LONGEST_S:
        raise _wrong(f"0s to {LONGEST_S:g}s", text)
    return seconds


def _wrong(expected: str, received: str) -> InvalidParameter:
    allowed = ", ".join(one.form for one in WORDS)
    told = f"expected {expected}, received {received[:_MAX_CHARS]!r}; allowed are {allowed}."
    return InvalidParameter(f"{HEADER}: {told}", param=HEADER)
