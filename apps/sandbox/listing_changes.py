"""Symbols of one venue that were delisted or renamed while it ran, as a translation of what is said.

Inside the emulator a symbol keeps its name. What clients say is translated on its way in and what the
venue says on its way out, so that no face has to know.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

_GONE: Final = "~"
"""Ends the inner name of a symbol that is not listed any more: the venue itself refuses it."""
_NAMES: Final = ("symbol", "s", "instId", "instrument_name", "coin", "name", "pair")
_NO_WORD: Final = r"[A-Za-z0-9_~-]"


def _forms(name: str) -> tuple[str, str]:
    """Stream names are in lower case at some venues."""
    return name, name.lower()


def _pattern(names: list[str]) -> re.Pattern[bytes]:
    longest_first = sorted({form for name in names for form in _forms(name)}, key=len, reverse=True)
    either = "|".join(re.escape(name) for name in longest_first)
    return re.compile(f"(?<!{_NO_WORD})(?:{either})(?!{_NO_WORD})".encode())


@dataclass
class ListingChanges:
    """``gone``: inner names that nobody may use; ``renamed``: inner name → the name outside."""

    gone: set[str] = field(default_factory=set)
    renamed: dict[str, str] = field(default_factory=dict)
    _in: dict[bytes, bytes] = field(default_factory=dict)
    _out: dict[bytes, bytes] = field(default_factory=dict)
    _in_pattern: re.Pattern[bytes] = field(default=re.compile(b"$^"))
    _out_pattern: re.Pattern[bytes] = field(default=re.compile(b"$^"))

    def delist(self, symbol: str) -> None:
        self.gone.add(symbol)
        self._translate()

    def rename(self, symbol: str, to: str) -> None:
        self.renamed[symbol] = to
        self._translate()

    def as_dict(self) -> dict[str, Any]:
        return {"delisted": sorted(self.gone), "renamed": self.renamed}

    def _translate(self) -> None:
        pairs = [(name, name + _GONE) for name in (*self.gone, *self.renamed)]
        news = [(new, old) for old, new in self.renamed.items()]
        self._in, self._out = {}, {}
        for outer, inner in (*pairs, *news):
            for one, other in zip(_forms(outer), _forms(inner), strict=True):
                self._in[one.encode()] = other.encode()
                self._out[other.encode()] = one.encode()
        self._in_pattern = _pattern([outer for outer, _ in (*pairs, *news)])
        self._out_pattern = _pattern([inner for _, inner in (*pairs, *news)])

    def incoming(self, raw: bytes) -> bytes:
        """What a client says, in inner names."""
        return self._in_pattern.sub(lambda found: self._in[found.group(0)], raw)

    def outgoing(self, raw: bytes) -> bytes:
        """What the venue says, in outer names."""
        return self._out_pattern.sub(lambda found: self._out[found.group(0)], raw)

    def is_gone(self, words: tuple[str, ...]) -> bool:
        """Whether a channel (its words in lower case) is of a symbol that is not there any more."""
        return any(symbol.lower() in words for symbol in self.gone)

    def without_gone(self, raw: bytes) -> bytes:
        """A JSON text without the rows of delisted symbols."""
        if not any(symbol.encode() in raw for symbol in self.gone):
            return raw
        try:
            return orjson.dumps(self._pruned(orjson.loads(raw)))
        except orjson.JSONDecodeError:
            return raw

    def _pruned(self, value: Any) -> Any:
        if isinstance(value, list):
            if any(self._is_universe(one) for one in value):
                return [self._marked(one) for one in value]
            return [self._pruned(one) for one in value if not self._is_row(one)]
        if isinstance(value, dict):
            return {name: self._pruned(one) for name, one in value.items() if name not in self.gone}
        return value

    def _is_row(self, value: Any) -> bool:
        if isinstance(value, dict):
            return any(self._names_gone(value.get(key)) for key in _NAMES)
        return isinstance(value, list) and bool(value) and self._names_gone(value[0])

    def _names_gone(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.gone

    @staticmethod
    def _is_universe(value: Any) -> bool:
        """Rows that another list is joined to by place (Hyperliquid) cannot be left out."""
        return isinstance(value, dict) and "szDecimals" in value and "maxLeverage" in value

    def _marked(self, row: Any) -> Any:
        return {**row, "isDelisted": True} if self._is_row(row) else row
