"""Faults that tests and scenarios switch on. One object for the whole emulator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

_BOOK_WORD: Final = "@depth"
# What a channel's name contains, by the kind that a fault names.
_KIND_WORDS: Final = {
    "trade": ("@aggtrade", "@trade"),
    "book": (_BOOK_WORD,),
    "quote": ("bookticker",),
    "mark": ("markprice",),
    "liquidation": ("forceorder",),
    "ticker": ("ticker",),
    "candle": ("@kline",),
}
MALFORMED_FRAME: Final = b'{"e":"depthUpdate","E":17230'


class Verdict(NamedTuple):
    """What becomes of a frame: dropped, sent as it is, or replaced by a broken one."""

    drop: bool = False
    broken: bool = False


_PASS: Final = Verdict()
_DROP: Final = Verdict(drop=True)
_BREAK: Final = Verdict(broken=True)


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
    gaps: dict[str, int] = field(default_factory=dict)
    stalls: dict[str, float] = field(default_factory=dict)
    malformed: dict[str, int] = field(default_factory=dict)
    http: list[HttpFault] = field(default_factory=list)
    delay_s: float = 0.0
    ack_without_data: bool = False
    active: bool = False

    def judge(self, channel: str) -> Verdict:
        """Called for every frame while any fault is in force."""
        symbol = channel.partition("@")[0]
        until = self.stalls.get(symbol)
        if until is not None:
            if self.now_s() < until:
                return _DROP
            del self.stalls[symbol]
        if _BOOK_WORD in channel and self.gaps.get(symbol, 0) > 0:
            self.gaps[symbol] -= 1
            return _DROP
        for kind, left in self.malformed.items():
            if left > 0 and any(word in channel for word in _KIND_WORDS.get(kind, (kind,))):
                self.malformed[kind] = left - 1
                return _BREAK
        return _PASS

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
        self.gaps[str(command["symbol"]).lower()] = int(command.get("count", 1))
        return {}

    def _set_stall(self, command: dict[str, Any]) -> dict[str, Any]:
        self.stalls[str(command["symbol"]).lower()] = self.now_s() + float(command["seconds"])
        return {}

    def _set_malformed(self, command: dict[str, Any]) -> dict[str, Any]:
        self.malformed[str(command["kind"])] = int(command.get("count", 1))
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
