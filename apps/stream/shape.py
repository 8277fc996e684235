"""Narrowing that remembers: a channel as the subscriptions of some options see it, in step with its seqs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import orjson

from apps.core.jsonout import dumps
from apps.feed.positions import Event
from apps.feed.registry import ChannelSpec, View


class Shape:
    """``seq`` is the last event that it took. Subscriptions that stand at the same seq share one, so that an
    event is narrowed once however many asked for the same."""

    __slots__ = ("_last", "_spec", "_view", "is_whole", "key", "seq")

    def __init__(self, spec: ChannelSpec, view: View, key: Hashable) -> None:
        self.key = key
        self.seq = 0
        self.is_whole = False
        self._spec = spec
        self._view = view
        self._last: bytes | None = None

    def begin(self, seq: int, data: bytes) -> Any:
        """The whole state after ``seq`` as its readers see it."""
        self.seq = seq
        self.is_whole = True
        return self._view.begin(orjson.loads(data))

    def payload(self, event: Event) -> bytes | None:
        """The next event as its readers see it, None when nothing changes for them; asked in order."""
        if event.seq != self.seq:
            self.seq = event.seq
            found = self._view.change(event.decoded())
            self._last = None if found is None else dumps(found)
        return self._last

    def as_change(self, data: Any) -> bytes:
        assert self._spec.as_change is not None  # noqa: S101 - declared together with the view
        return dumps(self._spec.as_change(data))


def shape_of(spec: ChannelSpec, options: Mapping[str, Any]) -> Shape | None:
    """A new one, None where the options need none."""
    view = None if spec.view is None else spec.view(options)
    return None if view is None else Shape(spec, view, frozenset(options.items()))
