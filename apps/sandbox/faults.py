"""Faults that tests and scenarios switch on. One object for the whole emulator."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any, Final

from apps.sandbox.fault_catalog import EVERYTHING, UnknownFault, spec_of
from apps.sandbox.listing_changes import ListingChanges

__all__ = [
    "EVERYTHING",
    "MALFORMED_FRAME",
    "Action",
    "Faults",
    "UnknownFault",
    "is_kind",
    "words_of",
]

# What a word of a channel's name begins with, by the kind that a fault names: the venues' own words.
_KIND_WORDS: Final = {
    "trade": ("aggtrade", "trade", "publictrade"),
    "book": ("depth", "orderbook", "book", "l2book"),
    "quote": ("bookticker", "bbo", "quote"),
    "mark": ("markprice", "mark-price", "activeassetctx"),
    "liquidation": ("forceorder", "allliquidation", "liquidation-orders"),
    "ticker": ("ticker", "miniticker", "incremental_ticker"),
    "candle": ("kline", "candle", "chart"),
}
_WORDS: Final = re.compile(r"[a-z0-9_-]+")
MALFORMED_FRAME: Final = b'{"e":"depthUpdate","E":17230'


class Action(StrEnum):
    """What becomes of a frame that a fault meets."""

    LOSE = "lose"
    TWICE = "twice"
    LATER = "later"
    BREAK = "break"
    CUT = "cut"
    TEAR = "tear"


_FRAME_ACTIONS: Final = {
    "gap": Action.LOSE,
    "stall": Action.LOSE,
    "duplicate": Action.TWICE,
    "reorder": Action.LATER,
    "malformed": Action.BREAK,
    "truncated": Action.CUT,
    "torn": Action.TEAR,
}


@cache
def words_of(channel: str) -> tuple[str, ...]:
    """The words of a channel's name, whatever stands between them; there are only so many channels."""
    return tuple(_WORDS.findall(channel.lower()))


def is_kind(kind: str, words: tuple[str, ...]) -> bool:
    starts = _KIND_WORDS.get(kind, (kind.lower(),))
    return any(
        word.startswith(starts) and not (kind == "book" and word.startswith("bookticker"))
        for word in words
    )


@dataclass
class FrameFault:
    """Frames that are changed; an empty ``venue`` or ``kind`` means any, ``symbol`` is lower case."""

    action: Action
    venue: str
    symbol: str
    kind: str = ""
    left: int | None = None
    until_s: float | None = None

    def is_over(self, now_s: float) -> bool:
        return self.left == 0 or (self.until_s is not None and now_s >= self.until_s)

    def meets(self, venue: str, words: tuple[str, ...]) -> bool:
        return (
            self.venue in ("", venue)
            and (self.symbol == EVERYTHING or self.symbol in words)
            and (not self.kind or is_kind(self.kind, words))
        )


@dataclass
class RestFault:
    """Answers that are changed: a refusal (``status``), a broken body (``form``) or a wait (``delay_s``)."""

    venue: str
    path: str
    left: int | None = None
    status: int = 0
    form: str = ""
    delay_s: float = 0.0
    retry_after_s: float = 0.0
    """What a refusal asks for; 0 leaves it to the venue."""

    def meets(self, venue: str, path: str) -> bool:
        return self.left != 0 and self.venue in ("", venue) and path.startswith(self.path)


@dataclass
class Faults:
    """Faults in force. ``now_s`` is wall time; ``venues`` are those that a command may name."""

    now_s: Callable[[], float]
    drop_connections: Callable[[str, str], int] = lambda _venue, _path: 0
    restart_books: Callable[[str, str], int | None] = lambda _venue, _symbol: 1
    """How many books; None for a venue that never begins anew."""
    on_listings: Callable[[str], None] = lambda _venue: None
    """A venue's listings have changed."""
    venues: tuple[str, ...] = ()
    frames: list[FrameFault] = field(default_factory=list)
    rest: list[RestFault] = field(default_factory=list)
    mute: set[str] = field(default_factory=set)
    skew_ms: dict[str, int] = field(default_factory=dict)
    listings: dict[str, ListingChanges] = field(default_factory=dict)
    active: bool = False
    """Whether frames have to be looked at."""

    # --- what the faces ask -----------------------------------------------------------------------

    def judge(self, venue: str, channel: str) -> Action | None:
        """Called for every frame while any fault is in force."""
        words = words_of(channel)
        now_s = self.now_s()
        if any(one.is_over(now_s) for one in self.frames):
            self.frames = [one for one in self.frames if not one.is_over(now_s)]
        for fault in self.frames:
            if fault.meets(venue, words):
                if fault.left is not None:
                    fault.left -= 1
                return fault.action
        return None

    def is_mute(self, venue: str) -> bool:
        """Whether subscriptions are acknowledged but bring nothing."""
        return bool(self.mute) and ("" in self.mute or venue in self.mute)

    def rest_fault(self, venue: str, path: str, name: str) -> RestFault | None:
        """The first fault with ``name`` (status, form or delay_s) that meets a request; it is used up."""
        for fault in self.rest:
            if getattr(fault, name) and fault.meets(venue, path):
                if fault.left is not None:
                    fault.left -= 1
                return fault
        return None

    # --- what the control face asks ---------------------------------------------------------------

    def apply(self, command: dict[str, Any]) -> dict[str, Any]:
        """``{"fault": name, …parameters}``; raises ``UnknownFault``."""
        spec = spec_of(command)
        values = spec.read(command)
        venue = values["venue"]
        if self.venues and venue and venue not in self.venues:
            allowed = ", ".join(self.venues)
            raise UnknownFault(f"{spec.name}: venue: expected one of {allowed}, got {venue!r}")
        action = _FRAME_ACTIONS.get(spec.name)
        if action is not None:
            answer = self._set_frames(action, values)
        else:
            answer = getattr(self, f"_set_{spec.name}")(**values)
        self.active = bool(self.frames or self.skew_ms or self.listings)
        return {"fault": command["fault"], **answer}

    def in_force(self) -> dict[str, Any]:
        now_s = self.now_s()
        return {
            "frames": [vars(one) for one in self.frames if not one.is_over(now_s)],
            "rest": [vars(one) for one in self.rest if one.left != 0],
            "mute": sorted(self.mute),
            "skew_ms": self.skew_ms,
            "listings": {venue: one.as_dict() for venue, one in self.listings.items()},
        }

    def _set_frames(self, action: Action, values: dict[str, Any]) -> dict[str, Any]:
        # A gap is lost book updates; a stall is everything, for a time.
        is_gap = action is Action.LOSE and "seconds" not in values
        seconds = values.get("seconds")
        self.frames.append(
            FrameFault(
                action,
                values["venue"],
                values["symbol"].lower(),
                "book" if is_gap else values.get("kind", ""),
                values.get("count"),
                None if seconds is None else self.now_s() + seconds,
            )
        )
        return {}

    def _set_disconnect(self, venue: str, path: str) -> dict[str, Any]:
        return {"dropped": self.drop_connections(venue, path)}

    def _set_book_restart(self, venue: str, symbol: str) -> dict[str, Any]:
        books = self.restart_books(venue, symbol)
        if books is None:
            raise UnknownFault(f"book_restart: venue: {venue} never numbers its books anew")
        if not books:
            raise UnknownFault(f"book_restart: symbol: {venue} has no book of {symbol!r}")
        return {"books": books}

    def _set_ack_without_data(self, venue: str, on: bool) -> dict[str, Any]:
        (self.mute.add if on else self.mute.discard)(venue)
        return {}

    def _set_http_status(
        self, venue: str, path: str, status: int, count: int, retry_after: float
    ) -> dict[str, Any]:
        self.rest.append(RestFault(venue, path, count, status=status, retry_after_s=retry_after))
        return {}

    def _set_http_body(self, venue: str, path: str, form: str, count: int) -> dict[str, Any]:
        if form not in ("malformed", "truncated"):
            raise UnknownFault(f"http_body: form: expected malformed or truncated, got {form!r}")
        self.rest.append(RestFault(venue, path, count, form=form))
        return {}

    def _set_delay(self, venue: str, path: str, seconds: float) -> dict[str, Any]:
        self.rest = [
            one for one in self.rest if not (one.delay_s and (one.venue, one.path) == (venue, path))
        ]
        if seconds:
            self.rest.append(RestFault(venue, path, delay_s=seconds))
        return {}

    def _set_clock_skew(self, venue: str, seconds: float) -> dict[str, Any]:
        self.skew_ms[venue] = round(seconds * 1_000)
        if not self.skew_ms[venue]:
            del self.skew_ms[venue]
        return {}

    def _set_delist(self, venue: str, symbol: str) -> dict[str, Any]:
        self.listings.setdefault(venue, ListingChanges()).delist(symbol)
        self.on_listings(venue)
        return {}

    def _set_rename(self, venue: str, symbol: str, to: str) -> dict[str, Any]:
        self.listings.setdefault(venue, ListingChanges()).rename(symbol, to)
        self.on_listings(venue)
        return {}

    def _set_clear(self, venue: str) -> dict[str, Any]:
        def stays(one: str) -> bool:
            return bool(venue) and one != venue

        self.frames = [one for one in self.frames if stays(one.venue)]
        self.rest = [one for one in self.rest if stays(one.venue)]
        self.mute = {one for one in self.mute if stays(one)}
        self.skew_ms = {one: skew for one, skew in self.skew_ms.items() if stays(one)}
        changed = [one for one in self.listings if not stays(one)]
        for one in changed:
            del self.listings[one]
            self.on_listings(one)
        return {}
