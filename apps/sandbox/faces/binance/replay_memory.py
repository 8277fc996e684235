"""What a replay has played, as far as Binance's REST needs it: books, quotes, marks and trades."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Final

from apps.sandbox.faces.base import PlayedFrame, ReplayMemory
from apps.sandbox.faces.binance.replay_book import ReplayBook

_KEPT_TRADES: Final = 1_000


class BinanceMemory:
    """State of one face (futures or spot); follows what the replay plays."""

    def __init__(self, replay: ReplayMemory) -> None:
        self.books = {symbol: ReplayBook(body) for symbol, body in replay.books.items()}
        self.reset()
        replay.listen(self)

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

    def note(self, frame: PlayedFrame) -> None:
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
