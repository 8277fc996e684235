"""Options that several channels share. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from apps.feed.registry import Data, Option

MAX_AMOUNT_USD: Final = 1e15


def one_or_many(
    name: str, field: str, allowed: Sequence[str], description: str, aliases: tuple[str, ...] = ()
) -> Option:
    """``"binance"`` or ``["binance", "okx"]``: events whose ``field`` is among them."""

    def accepts(data: Data, value: frozenset[str]) -> bool:
        return data.get(field) in value

    return _of_words(name, allowed, description, accepts, aliases)


def chosen(
    name: str, allowed: Sequence[str], description: str, aliases: tuple[str, ...] = ()
) -> Option:
    """The same words; the channel's ``narrow`` leaves the chosen parts of each event."""
    return _of_words(name, allowed, description, _everything, aliases)


def one_of(name: str, numbers: Sequence[int], whole: str, description: str) -> Option:
    """One of these numbers, or a word that stands for everything."""
    allowed = (*numbers, whole)
    expected = f"one of {', '.join(map(str, allowed))}"

    def parse(value: Any) -> int | None:
        if value == whole:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value not in numbers:
            raise ValueError(expected)
        return value

    return Option(name, parse, _everything, {"enum": list(allowed)}, description)


def _everything(_data: Data, _value: Any) -> bool:
    return True


def _of_words(
    name: str,
    allowed: Sequence[str],
    description: str,
    accepts: Callable[[Data, Any], bool],
    aliases: tuple[str, ...],
) -> Option:
    expected = f"one of {', '.join(allowed)}, or a list of them"

    def parse(value: Any) -> frozenset[str]:
        given = [value] if isinstance(value, str) else value
        if not isinstance(given, list) or not given:
            raise ValueError(expected)
        if not all(isinstance(one, str) and one in allowed for one in given):
            raise ValueError(expected)
        return frozenset(given)

    one = {"type": "string", "enum": list(allowed)}
    schema = {"oneOf": [one, {"type": "array", "items": one, "minItems": 1}]}
    return Option(name, parse, accepts, schema, description, aliases)


def at_least(name: str, field: str, description: str) -> Option:
    """A number: events whose ``field`` is at least that."""

    def parse(value: Any) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 <= value <= MAX_AMOUNT_USD:
            raise ValueError("a number from 0 to 1e15")
        return float(value)

    def accepts(data: Data, value: float) -> bool:
        found = data.get(field)
        return isinstance(found, int | float) and found >= value

    return Option(name, parse, accepts, {"type": "number", "minimum": 0}, description)


Predicate = Callable[[Data], bool]


def predicate(pairs: Sequence[tuple[Option, Any]]) -> Predicate | None:
    """All of the options at once; None when there are none."""
    if not pairs:
        return None
    if len(pairs) == 1:
        option, value = pairs[0]
        return lambda data: option.accepts(data, value)
    return lambda data: all(option.accepts(data, value) for option, value in pairs)
