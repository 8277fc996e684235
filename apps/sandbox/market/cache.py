"""What has been worked out, the least recently used dropped first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """At most ``most`` values, each made once by the function that is asked with."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, make: Callable[[K], V]) -> V:
        values = self._values
        found = values.get(key)
        if found is None:
            found = values[key] = make(key)
            if len(values) > self._most:
                values.popitem(last=False)
        else:
            values.move_to_end(key)
        return found

    def forget(self, chosen: Callable[[K], bool]) -> None:
        for key in [key for key in self._values if chosen(key)]:
            del self._values[key]
