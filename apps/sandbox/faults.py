"""Faults that tests and scenarios switch on. One object for the whole emulator."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, NamedTuple

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
EVERYTHING: Final = "*"
MALFORMED_FRAME: Final = b'{"e":"depthUpdate","E":17230'


class Verdict(NamedTuple):
    """What becomes of a frame: dropped, sent as it is, or replaced by a broken one."""

    drop: bool = False
    broken: bool = False


_PASS: Final = Verdict()
_DROP: Final = Verdict(drop=True)
_BREAK: Final = Verdict(broken=True)


class Target(NamedTuple):
    """``venue`` may be empty for any; ``symbol`` is lower case, ``*`` for all of the venue's."""

    venue: str
    symbol: str


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


def _is_meant(target: Target, venue: str, words: tuple[str, ...]) -> bool:
    return target.venue in ("", venue) and (target.symbol == EVERYTHING or target.symbol in words)


def _target(command: dict[str, Any]) -> Target:
    return Target(str(command.get("venue", "")), str(command["symbol"]).lower())


@dataclass
class HttpFault:
    path: str
    status: int
    left: int


class UnknownFault(ValueError):
    """The control face answers 400 with this text."""


@dataclass
class Faults:
    """Faults in force. ``now_s`` is wall time."""

    now_s: Callable[[], float]
    drop_connections: Callable[[str, str], int] = lambda _venue, _path: 0
    gaps: dict[Target, int] = field(default_factory=dict)
    stalls: dict[Target, float] = field(default_factory=dict)
    malformed: dict[tuple[str, str], int] = field(default_factory=dict)
    http: list[HttpFault] = field(default_factory=list)
    delay_s: float = 0.0
    ack_without_data: bool = False
    active: bool = False

    def judge(self, venue: str, channel: str) -> Verdict:
        """Called for every frame while any fault is in force."""
        words = words_of(channel)
        if self._is_stalled(venue, words) or (
            is_kind("book", words) and self._takes_gap(venue, words)
        ):
            return _DROP
        for (where, kind), left in self.malformed.items():
            if left > 0 and where in ("", venue) and is_kind(kind, words):
                self.malformed[where, kind] = left - 1
                return _BREAK
        return _PASS

    def _is_stalled(self, venue: str, words: tuple[str, ...]) -> bool:
        if not self.stalls:
            return False
        now_s = self.now_s()
        for target in [one for one, until in self.stalls.items() if now_s >= until]:
            del self.stalls[target]
        return any(_is_meant(target, venue, words) for target in self.stalls)

    def _takes_gap(self, venue: str, words: tuple[str, ...]) -> bool:
        for target, left in self.gaps.items():
            if left > 0 and _is_meant(target, venue, words):
                self.gaps[target] = left - 1
                return True
        return False

    def http_status(self, path: str) -> int | None:
        for fault in self.http:
            if fault.left > 0 and path.startswith(fault.path):
                fault.left -= 1
                return fault.status
        return None

    def apply(self, command: dict[str, Any]) -> dict[str, Any]:
        """``{"fault": name, …parameters}``; raises ``UnknownFault``."""
        name = command.get("fault")
        handler = getattr(self, f"_set_{name}", None) if isinstance(name, str) else None
        if handler is None:
            raise UnknownFault(f"fault: expected one of {', '.join(sorted(_NAMES))}, got {name!r}")
        try:
            answer: dict[str, Any] = handler(command)
        except (KeyError, TypeError, ValueError) as error:
            raise UnknownFault(f"{name}: {error!r}") from error
        self.active = name != "clear"
        return {"fault": name, **answer}

    def _set_drop_connections(self, command: dict[str, Any]) -> dict[str, Any]:
        dropped = self.drop_connections(
            str(command.get("venue", "binance")), str(command.get("path", ""))
        )
        return {"dropped": dropped}

    def _set_gap(self, command: dict[str, Any]) -> dict[str, Any]:
        self.gaps[_target(command)] = int(command.get("count", 1))
        return {}

    def _set_stall(self, command: dict[str, Any]) -> dict[str, Any]:
        self.stalls[_target(command)] = self.now_s() + float(command["seconds"])
        return {}

    def _set_malformed(self, command: dict[str, Any]) -> dict[str, Any]:
        venue = str(command.get("venue", ""))
        self.malformed[venue, str(command["kind"])] = int(command.get("count", 1))
        return {}

    def _set_ack_without_data(self, command: dict[str, Any]) -> dict[str, Any]:
        self.ack_without_data = bool(command.get("on", True))
        return {}

    def _set_http_status(self, command: dict[str, Any]) -> dict[str, Any]:
        fault = HttpFault(
            str(command["path"]), int(command["status"]), int(command.get("count", 1))
        )
        if not 400 <= fault.status <= 599:
            raise ValueError("status must be 400 to 599")
        self.http.append(fault)
        return {}

    def _set_delay(self, command: dict[str, Any]) -> dict[str, Any]:
        self.delay_s = min(60.0, max(0.0, float(command["seconds"])))
        return {}

    def _set_clear(self, _command: dict[str, Any]) -> dict[str, Any]:
        self.gaps.clear()
        self.stalls.clear()
        self.malformed.clear()
        self.http.clear()
        self.delay_s, self.ack_without_data = 0.0, False
        return {}


_NAMES: Final = [name.removeprefix("_set_") for name in vars(Faults) if name.startswith("_set_")]
