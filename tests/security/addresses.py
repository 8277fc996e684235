"""Every address that Django serves, as patterns: a new one is met by these tests without being named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.urls import URLPattern, get_resolver

METHODS: Final = ("get", "head", "post", "put", "patch", "delete", "options")
_PART: Final = re.compile(r"<(?:\w+:)?(\w+)>|\(\?P<(\w+)>[^)]*\)")


@dataclass(frozen=True)
class Address:
    """``pattern`` such as ``account/keys/<int:key_id>/roll``."""

    pattern: str
    callback: Any

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(first or second for first, second in _PART.findall(self.pattern))

    def path(self, values: dict[str, Any]) -> str:
        """Raises ``KeyError`` for a part that nobody gave a value."""
        filled = _PART.sub(lambda found: str(values[found[1] or found[2]]), self.pattern)
        return "/" + filled.strip("^$")

    def __str__(self) -> str:
        return self.pattern


def addresses() -> list[Address]:
    """All but the admin's own, which staff alone reach."""
    return [one for one in _walk(get_resolver(), "") if not one.pattern.startswith("admin/")]


def admin_addresses() -> list[Address]:
    return [one for one in _walk(get_resolver(), "") if one.pattern.startswith("admin/")]


def _walk(resolver: Any, prefix: str) -> Iterator[Address]:
    for entry in resolver.url_patterns:
        pattern = prefix + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield Address(pattern, entry.callback)
        else:
            yield from _walk(entry, pattern)
