"""Sequence numbers of books: a function of the book's step, so that streams, REST and every reader agree."""

from __future__ import annotations


class Numbering:
    """Numbers of one market's books, ``each`` apart; those of a symbol may begin anew."""

    def __init__(self, each: int = 1) -> None:
        self._each = each
        self._begun: dict[str, int] = {}

    def of(self, symbol: str, step: int) -> int:
        """At least 1."""
        return max(1, step - self._begun.get(symbol, 0)) * self._each

    def begin(self, symbol: str, step: int) -> None:
        """This step has the first number."""
        self._begun[symbol] = step - 1
