"""Names of channels: which are served, and what each one is."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from apps.sandbox.faces.base import StreamEntry

HEAD: Final = b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"'
_PACE: Final = r"(?P<pace>100ms|agg2|raw)"
_NAME: Final = r"(?P<name>[A-Z0-9_]+-[A-Za-z0-9_-]+)"
_INDEX: Final = r"(?P<name>[a-z]+_[a-z]+)"
_GROUP: Final = (
    r"(?P<kind>future_combo|option_combo|combo|future|option|any)\.(?P<name>BTC|ETH|USDC|any)"
)
_FORMS: Final = tuple(
    (family, re.compile(form))
    for family, form in (
        ("trades", rf"trades\.{_NAME}\.{_PACE}"),
        ("all trades", rf"trades\.{_GROUP}\.{_PACE}"),
        ("book", rf"book\.{_NAME}\.{_PACE}"),
        ("grouped book", rf"book\.{_NAME}\.none\.(?P<depth>1|10|20)\.{_PACE}"),
        ("ticker", rf"ticker\.{_NAME}\.{_PACE}"),
        ("changes of ticker", rf"incremental_ticker\.{_NAME}"),
        ("quote", rf"quote\.{_NAME}"),
        ("perpetual", rf"perpetual\.{_NAME}\.{_PACE}"),
        ("marks", rf"markprice\.options\.{_INDEX}"),
        ("index", rf"deribit_price_index\.{_INDEX}"),
        ("dvol", rf"deribit_volatility_index\.{_INDEX}"),
        ("chart", rf"chart\.trades\.{_NAME}\.(?P<width>[0-9]+|1D)"),
        ("state", rf"instrument\.state\.{_GROUP}"),
    )
)
_STREAM_KINDS: Final = {
    "trades": "trade",
    "all trades": "trade",
    "book": "book",
    "ticker": "mark",
    "changes of ticker": "mark",
    "marks": "mark",
    "index": "ticker",
    "dvol": "ticker",
}


_OF_ONE: Final = ("trades", "book", "ticker", "changes of ticker")


@dataclass(frozen=True, slots=True)
class Channel:
    """``name``: an instrument, an index, or a currency; ``kind`` of channels that cover many."""

    channel: str
    family: str
    name: str
    pace: str = "100ms"
    kind: str = ""
    depth: int = 0
    width: str = ""

    @property
    def is_raw(self) -> bool:
        return self.pace == "raw"

    @property
    def pace_ms(self) -> int:
        return 1_000 if self.pace == "agg2" else 100


def parse_channel(channel: str) -> Channel | None:
    for family, form in _FORMS:
        found = form.fullmatch(channel)
        if found is not None:
            parts = found.groupdict()
            return Channel(
                channel,
                family,
                parts["name"],
                parts.get("pace") or "100ms",
                parts.get("kind") or "",
                int(parts.get("depth") or 0),
                parts.get("width") or "",
            )
    return None


class TickerChanges:
    """What was told on each ``incremental_ticker`` channel: all of it at first, then what differs."""

    def __init__(self) -> None:
        self._told: dict[str, dict[str, Any]] = {}

    def keep(self, channels: Collection[str]) -> None:
        self._told = {name: told for name, told in self._told.items() if name in channels}

    def whole(self, channel: str, ticker: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """For a reader who comes to the channel."""
        if channel not in self._told:
            self._told[channel] = ticker()
        return {"type": "snapshot", **self._told[channel]}

    def change(self, channel: str, ticker: dict[str, Any]) -> dict[str, Any]:
        before = self._told.get(channel)
        self._told[channel] = ticker
        if before is None:
            return {"type": "snapshot", **ticker}
        named = {name: ticker[name] for name in ("timestamp", "instrument_name")}
        differs = {name: new for name, new in ticker.items() if before.get(name) != new}
        return {"type": "change", **named, **differs}


def frame(channel: str, data: bytes) -> bytes:
    """A data frame as the venue writes it."""
    return b'%b%b","data":%b}}' % (HEAD, channel.encode(), data)


def channel_of(frame: bytes) -> str | None:
    """The hub channel of a recorded frame; None for answers and heartbeats."""
    if not frame.startswith(HEAD):
        return None
    end = frame.find(b'"', len(HEAD), len(HEAD) + 120)
    return None if end < 0 else frame[len(HEAD) : end].decode("ascii", "replace")


def stream_of(channel: str) -> StreamEntry | None:
    """The adapter's stream of a hub channel; of ``.raw`` ones it knows only those of recordings."""
    found = parse_channel(channel)
    if found is None or found.family not in _STREAM_KINDS:
        return None
    symbol = found.name if found.family in _OF_ONE else ""
    return StreamEntry("public", channel, _STREAM_KINDS[found.family], symbol)
