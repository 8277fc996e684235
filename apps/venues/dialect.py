"""How one venue's WebSocket is spoken to: all that differs between venues in a session."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Dialect(Protocol):
    """Addresses, messages and limits of one venue's WebSocket."""

    max_channels: int

    def url(self, connection: str) -> str: ...

    def batch_size(self, connection: str) -> int:
        """Channels per subscribe message."""
        ...

    def message_gap_s(self, connection: str) -> float:
        """Least time between two messages that we send."""
        ...

    def subscribe(self, request_id: int, channels: Iterable[str]) -> bytes: ...

    def unsubscribe(self, request_id: int, channels: Iterable[str]) -> bytes: ...

    def channel_of(self, frame: bytes) -> str | None:
        """Channel that a data frame belongs to, read without decoding it; None for other frames."""
        ...

    # What not every protocol has; a dialect that inherits from this class may leave these out.

    max_book_channels: int | None = None
    """``max_channels`` of connections that carry books or quotes, where the venue advises fewer."""
    requests_per_hour: int | None = None
    """Subscribe and unsubscribe messages that one connection may send in any hour."""
    answers_pings: bool = True
    """The venue answers ping frames; if not, something must be heard between two keep-alives."""

    def greetings(self, connection: str) -> Iterable[bytes]:
        """Messages sent once, before anything is subscribed."""
        return ()

    def keep_alive(self, connection: str) -> tuple[float, bytes] | None:
        """(seconds, message): what the venue wants to hear from us that often."""
        return None

    def reply(self, frame: bytes) -> bytes | None:
        """What a frame that belongs to no channel must be answered with at once."""
        return None
