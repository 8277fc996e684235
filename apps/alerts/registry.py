"""Which events there are: one declaration per type, from which hooks, pages and documents follow.

A layer declares its own types when its app starts (``register``). Pure data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class EventType:
    """``layer`` is what a plan must have to be told; "" is told to every account.

    ``schema`` is the JSON schema of ``data``, ``example`` an instance of it: what a test sends.
    """

    name: str
    title: str
    layer: str
    schema: Mapping[str, Any] = field(hash=False)
    example: Mapping[str, Any] = field(hash=False)


_types: Final[dict[str, EventType]] = {}


def register(event_type: EventType) -> None:
    """Registering a name again replaces it: apps may start twice."""
    _types[event_type.name] = event_type


def all_types() -> tuple[EventType, ...]:
    return tuple(_types[name] for name in sorted(_types))


def by_name(name: str) -> EventType | None:
    return _types.get(name)
