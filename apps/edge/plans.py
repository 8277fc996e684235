"""What the edge knows about an address before it looks at the caller: a snapshot it can answer itself, a
keyed view of Django, or nothing of its business. Learnt once per address and remembered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from django.urls import Resolver404, resolve

from apps.edge.bodies import Body
from apps.edge.commands import AdmitCommand
from apps.keys.authentication import LOGGED_PARAMS, ApiKeyAuthentication
from apps.snapshots.registry import SnapshotSpec

# Callers choose addresses, so what is remembered about them is bounded.
MAX_REMEMBERED: Final = 4096
_SHOWN_VALUE_CHARS: Final = 60


# Stands for "not looked at yet", where None is an answer.
UNKNOWN: Final[Any] = object()


class Remembered(dict[Any, Any]):
    """A dictionary that starts again when it is full."""

    def keep(self, key: Any, value: Any) -> Any:
        if len(self) >= MAX_REMEMBERED:
            self.clear()
        self[key] = value
        return value


@dataclass(frozen=True, slots=True)
class SnapshotPlan:
    """A GET or HEAD of one published snapshot."""

    spec: SnapshotSpec
    asset: str
    method: str
    params: str
    body: Body
    command: AdmitCommand


@dataclass(frozen=True, slots=True)
class KeyedView:
    """A Django view that asks for a key; ``layer`` is None when every plan may call it."""

    layer: str | None
    metric: str | None


def logged_params(raw_query: bytes) -> str:
    """The known parameters of a query string, as the usage log keeps them."""
    try:
        pairs = parse_qsl(raw_query.decode("latin-1"), keep_blank_values=True, max_num_fields=64)
    except ValueError:
        return ""
    given = dict(pairs)
    return "&".join(
        f"{name}={given[name][:_SHOWN_VALUE_CHARS]}" for name in LOGGED_PARAMS if name in given
    )


def keyed_view(path: str) -> KeyedView | None:
    """The view behind a path when it authenticates by key; None for public and unknown addresses."""
    try:
        view: Any = resolve(path).func
    except Resolver404:
        return None
    kind = getattr(view, "cls", None) or getattr(view, "view_class", None)
    if ApiKeyAuthentication not in getattr(kind, "authentication_classes", ()):
        return None
    initial = getattr(view, "initkwargs", None) or getattr(view, "view_initkwargs", None) or {}

    def attribute(name: str) -> str | None:
        found: str | None = initial.get(name, getattr(kind, name, None))
        return found

    return KeyedView(attribute("layer"), attribute("metric"))
