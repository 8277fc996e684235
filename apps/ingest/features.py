"""Where layers hang their live engines (features per second) into ingest.

A layer registers a factory when its app starts; ingest makes one instance per process and feeds it. The
layers import this module, never the reverse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, runtime_checkable

from apps.marketdata.books import BookSynchroniser
from apps.marketdata.events import MarketEvent

if TYPE_CHECKING:
    from apps.ingest.state import MarketState

Books: TypeAlias = Mapping[str, BookSynchroniser]
"""Books of this process by ``Instrument.key``."""


class Feature(Protocol):
    """A live engine: told of every event, asked once a second. Must be quick and never block."""

    def on_event(self, event: MarketEvent) -> None: ...

    def on_second(self, now_ms: int, books: Books) -> None: ...


@runtime_checkable
class ReadsState(Protocol):
    """A live engine that also reads what ingest knows; told where before the first event."""

    def attach(self, state: MarketState) -> None: ...


_factories: Final[dict[str, Callable[[], Feature]]] = {}


def register_feature(name: str, factory: Callable[[], Feature]) -> None:
    """Registering a name again replaces its factory, so that app start-up may run twice."""
    _factories[name] = factory


def make_features(state: MarketState | None = None) -> dict[str, Feature]:
    features = {name: factory() for name, factory in _factories.items()}
    for feature in features.values():
        if state is not None and isinstance(feature, ReadsState):
            feature.attach(state)
    return features
