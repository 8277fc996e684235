"""Where layers hang their live engines (features per second) into ingest.

A layer registers a factory when its app starts; ingest makes one instance per process and feeds it. The
layers import this module, never the reverse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeAlias

from apps.marketdata.books import BookSynchroniser
from apps.marketdata.events import MarketEvent

Books: TypeAlias = Mapping[str, BookSynchroniser]
"""Books of this process by ``Instrument.key``."""


class Feature(Protocol):
    """A live engine: told of every event, asked once a second. Must be quick and never block."""

    def on_event(self, event: MarketEvent) -> None: ...

    def on_second(self, now_ms: int, books: Books) -> None: ...


_factories: Final[dict[str, Callable[[], Feature]]] = {}


def register_feature(name: str, factory: Callable[[], Feature]) -> None:
    """Registering a name again replaces its factory, so that app start-up may run twice."""
    _factories[name] = factory


def make_features() -> dict[str, Feature]:
    return {name: factory() for name, factory in _factories.items()}
