"""What has been played so far, as far as REST needs it: books, last quotes, marks and trades."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Final

from apps.sandbox.replay.books import ReplayBook
from apps.sandbox.replay.recording import Frame, Recording

_KEPT_TRADES: Final = 1_000


class Memory:
    """State of the recordings of one face (futures or spot)."""

    def __init__(self, recordings: Iterable[Recording]) -> None:
        self.books: dict[str, ReplayBook] = {}
        for recording in recordings:
            for frame in recording.frames:
                if not frame.channel and frame.symbol and frame.symbol not in self.books:
                    self.books[frame.symbol] = ReplayBook(frame.raw)
        self.reset()

    def reset(self) -> None:
        for book in self.books.values():
            book.reset()
        self._marks: dict[str, bytes] = {}
        self._quotes: dict[str, bytes] = {}
        self._trades: defaultdict[str, deque[bytes]] = defaultdict(
            lambda: deque(maxlen=_KEPT_TRADES)
        )
        self._agg_trades: defaultdict[str, deque[bytes]] = defaultdict(
            lambda: deque(maxlen=_KEPT_TRADES)
        )

    def note(self, frame: Frame) -> None:
        """A frame has been played. Times are kept as recorded: whoever answers moves them."""
        data = frame.data
        kind = frame.channel.partition("@")[2]
        symbol = frame.symbol
        if not frame.channel:
            book = self.books.get(symbol)
            if book is not None:
                book.pass_snapshot()
        elif kind == "bookTicker":
            self._quotes[symbol] = data
        elif kind == "trade":
            self._trades[symbol].append(data)
        elif kind == "aggTrade":
            self._agg_trades[symbol].append(data)
        elif kind.startswith("markPrice"):
            self._marks[symbol] = data
        elif kind == "depth" or kind.startswith("depth@"):
            book = self.books.get(symbol)
            if book is not None:
                book.on_update(data)

    def mark(self, symbol: str) -> bytes | None:
        """The last mark price message played."""
        return self._marks.get(symbol)

    def quote(self, symbol: str) -> bytes | None:
        return self._quotes.get(symbol)

    def trades(self, symbol: str) -> list[bytes]:
        """``trade`` messages played, oldest first, at most a thousand."""
        return list(self._trades[symbol])

    def agg_trades(self, symbol: str) -> list[bytes]:
        return list(self._agg_trades[symbol])
