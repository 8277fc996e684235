"""Time as clients are handed it, and how long they wait for what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

NS_PER_S: Final = 1_000_000_000
Sleep: TypeAlias = Callable[[float], Awaitable[None]]
NowNs: TypeAlias = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. Silence is measured by ``now_ns`` (a paused replay is not silent), the rest by the loop.

    While our own loop is late nobody is silent and no answer is overdue.
    """

    open_timeout: float = 10.0
    ack_timeout: float = 10.0
    first_frame: float = 15.0
    """After this long without any data a connection is taken to be on the wrong path."""
    watch_period: float = 1.0
    resubscribe_after: float = 30.0
    """A silent channel among lively ones is subscribed anew after this long, then after twice as long, and
    so on up to 32 times."""
    resubscribe_at_once: int = 10
    """Silent channels subscribed anew in one round of the watch: many at once are no storm."""
    patience: float = 3.0
    """A channel may be silent this many times as long as it usually is."""
    longest_patience: float = 10.0
    """But no longer than so many times what its plan says."""
    lifetime: float = 23 * 3600 + 50 * 60
    """Venues cut connections after 24 h; ours are replaced before."""
    lifetime_spread: float = 20 * 60
    """Lifetimes are shortened by up to this much, so that not all end together."""
    overlap: float = 30.0
    """A replacement has this long to deliver before the old connection is closed."""
    healthy_after: float = 30.0
    """A connection that lived this long starts the back-off anew."""
    ping_interval: float = 20.0
    """Our own pings find half-open connections; the library answers the venue's."""
    ping_timeout: float = 30.0
