"""Every fault that the emulator knows: its parameters, as the control face and the command read them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

EVERYTHING: Final = "*"


class UnknownFault(ValueError):
    """The control face answers 400 with this text."""


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter; ``default`` None means that it must be given."""

    name: str
    read: Callable[[Any], Any]
    help: str
    default: Any = None


@dataclass(frozen=True, slots=True)
class FaultSpec:
    name: str
    help: str
    params: tuple[Param, ...] = field(default=())

    def read(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of a command; raises :class:`UnknownFault` naming the one that is wrong."""
        known = {one.name for one in self.params}
        unknown = sorted(set(command) - known - {"fault"})
        if unknown:
            allowed = ", ".join(sorted(known)) or "none"
            raise UnknownFault(f"{self.name}: unknown parameter {unknown[0]}; it takes {allowed}")
        return {one.name: self._read_one(one, command.get(one.name)) for one in self.params}

    def _read_one(self, param: Param, value: Any) -> Any:
        if value is None:
            if param.default is None:
                raise UnknownFault(f"{self.name}: {param.name} is required ({param.help})")
            return param.default
        try:
            return param.read(value)
        except (TypeError, ValueError) as error:
            raise UnknownFault(f"{self.name}: {param.name}: {error}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 100:
        raise ValueError(f"expected a short text, got {value!r}")
    return value


def _name(value: Any) -> str:
    if not _text(value):
        raise ValueError("expected a name, got an empty text")
    return str(value)


def _count(value: Any) -> int:
    number = int(value)
    if not 1 <= number <= 1_000_000:
        raise ValueError(f"expected 1 to 1000000, got {value!r}")
    return number


def _seconds(most: float, least: float = 0.0) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        number = float(value)
        if not (math.isfinite(number) and least <= number <= most):
            raise ValueError(f"expected {least:g} to {most:g} seconds, got {value!r}")
        return number

    return read


def _status(value: Any) -> int:
    number = int(value)
    if not 400 <= number <= 599:
        raise ValueError(f"expected an HTTP status from 400 to 599, got {value!r}")
    return number


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "1", "on"):
        return True
    if str(value).lower() in ("false", "0", "off"):
        return False
    raise ValueError(f"expected true or false, got {value!r}")


KINDS: Final = ("trade", "book", "quote", "mark", "liquidation", "ticker", "candle")


def _kind(value: Any) -> str:
    if value not in KINDS:
        raise ValueError(f"expected one of {', '.join(KINDS)}, got {value!r}")
    return str(value)


_VENUE: Final = Param("venue", _text, "one venue; all of them when left out", "")
_ONE_VENUE: Final = Param("venue", _name, "the venue")
_SYMBOL: Final = Param("symbol", _name, "the venue's own name; * for all of them", EVERYTHING)
_KIND: Final = Param("kind", _kind, f"{', '.join(KINDS)}", "book")
_COUNT: Final = Param("count", _count, "how many", 1)
_PATH: Final = Param("path", _text, "requests whose path begins with this", "")
_FRAMES: Final = (_VENUE, _SYMBOL, _KIND, _COUNT)

FAULTS: Final[Mapping[str, FaultSpec]] = {
    one.name: one
    for one in (
        FaultSpec(
            "disconnect",
            "cut WebSockets without a goodbye",
            (_VENUE, Param("path", _text, "public, market, spot …; all when left out", "")),
        ),
        FaultSpec("gap", "book updates are lost", (_VENUE, _SYMBOL, _COUNT)),
        FaultSpec(
            "book_restart",
            "the numbers of books begin anew, in the venue's own words (bybit, okx)",
            (_ONE_VENUE, _SYMBOL),
        ),
        FaultSpec("duplicate", "messages come twice", _FRAMES),
        FaultSpec("reorder", "messages come after their successors", _FRAMES),
        FaultSpec(
            "stall",
            "sockets stay open and say nothing",
            (_VENUE, _SYMBOL, Param("seconds", _seconds(86_400.0), "for how long")),
        ),
        FaultSpec(
            "ack_without_data",
            "subscriptions are acknowledged and bring nothing",
            (_VENUE, Param("on", _flag, "true or false", True)),
        ),
        FaultSpec("malformed", "messages are no JSON", _FRAMES),
        FaultSpec("truncated", "messages end in the middle", _FRAMES),
        FaultSpec(
            "torn", "a WebSocket frame ends in the middle, and so does the connection", _FRAMES
        ),
        FaultSpec(
            "http_status",
            "REST refuses in the venue's own words",
            (
                _VENUE,
                _PATH,
                Param("status", _status, "429, 418, 403, 451, 500 …"),
                _COUNT,
                Param(
                    "retry_after",
                    _seconds(3_600.0),
                    "seconds that it asks us to wait; 0: what the venue usually says",
                    0.0,
                ),
            ),
        ),
        FaultSpec(
            "http_body",
            "REST answers 200 with a broken body",
            (_VENUE, _PATH, Param("form", _text, "malformed or truncated", "truncated"), _COUNT),
        ),
        FaultSpec(
            "delay",
            "REST answers slowly",
            (_VENUE, _PATH, Param("seconds", _seconds(60.0), "per answer; 0 ends it")),
        ),
        FaultSpec(
            "clock_skew",
            "the times that a venue tells are wrong",
            (_ONE_VENUE, Param("seconds", _seconds(3_600.0, -3_600.0), "ahead; 0 ends it")),
        ),
        FaultSpec(
            "delist",
            "a symbol is gone from the lists, its streams end",
            (_ONE_VENUE, Param("symbol", _name, "the venue's own name")),
        ),
        FaultSpec(
            "rename",
            "a symbol goes on under another name",
            (
                _ONE_VENUE,
                Param("symbol", _name, "the venue's own name"),
                Param("to", _name, "the new one"),
            ),
        ),
        FaultSpec("clear", "everything is well again", (_VENUE,)),
    )
}
_ALIASES: Final = {"drop_connections": "disconnect"}


def spec_of(command: Mapping[str, Any]) -> FaultSpec:
    """Raises :class:`UnknownFault` naming what there is."""
    name = command.get("fault")
    found = FAULTS.get(_ALIASES.get(name, name)) if isinstance(name, str) else None
    if found is None:
        raise UnknownFault(f"fault: expected one of {', '.join(sorted(FAULTS))}, got {name!r}")
    return found
