"""What an answer says besides its numbers: which words, which nulls; and where two answers differ in that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

_MOVES: Final = frozenset(
    {"interpretation", "state", "freshness", "ts", "snapshot_ts", "last_ok", "side"}
)
"""Words that follow the market or the clock."""
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?", re.IGNORECASE)
_EVENTS: Final = frozenset({"events", "largest"})
"""What happens to have happened."""


def shape(document: dict[str, Any]) -> dict[str, str]:
    """By path: the word itself, or what kind of value it is (a number, null, true or false)."""
    return dict(_leaves("", document))


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in _EVENTS:
                yield from _leaves(f"{path}.{name}" if path else name, inner)
    elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        for one in value:
            name = ":".join(str(one[word]) for word in ("venue", "symbol") if word in one)
            yield from _leaves(f"{path}.{name}", one)
    elif isinstance(value, bool) or value is None:
        yield path, str(value)
    elif isinstance(value, int | float) or _is_number(value):
        yield path, "a number"
    elif isinstance(value, str) and (_last(path) in _MOVES or _last(path).endswith("_at")):
        yield path, "a word"
    else:
        yield path, str(value)


def _is_number(value: Any) -> bool:
    """Also as a venue wrote it."""
    return isinstance(value, str) and _NUMBER.fullmatch(value) is not None


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Paths at which they say something else, with both words; "absent" where one has none."""
    first, second = shape(one), shape(other)
    return {
        path: (first.get(path, "absent"), second.get(path, "absent"))
        for path in sorted(first.keys() | second.keys())
        if first.get(path) != second.get(path)
    }
