"""Which channels there are: one declaration per channel, from which everything else follows.

A layer declares its channels in its ``channels.py`` and registers them when its app starts. Subscribing,
tier gating, filters, snapshots, SSE and the AsyncAPI document read this registry and know no channel by
name. Pure data: no Django, no Redis.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, Protocol, TypeAlias

Params: TypeAlias = Mapping[str, str]
Data: TypeAlias = Mapping[str, Any]


class Policy(StrEnum):
    """What a reader gets that is slower than its channel: the newest, or all until its queue is full."""

    LATEST = "latest"
    ALL = "all"


class SnapshotKind(StrEnum):
    """Where the first frame of a subscription comes from.

    ``RECENT``: the ring's newest events (``{"recent": [...]}``). ``STATE``: the whole state that the writer
    hands over with its events; where it gives none, the newest event is the state. ``SOURCE``: the spec's
    ``source``, called in a thread.
    """

    RECENT = "recent"
    STATE = "state"
    SOURCE = "source"


class View(Protocol):
    """Narrowing that must know all that came before, for one subscription or those that ask alike."""

    def begin(self, data: Data) -> Data:
        """The whole state as its readers see it."""

    def change(self, data: Data) -> Data | None:
        """The next event as its readers see it; None when nothing changes for them."""


@dataclass(frozen=True, slots=True)
class Option:
    """A way to narrow a subscription on the server.

    ``parse`` turns the client's JSON value into ours or raises ``ValueError`` whose text says what was
    expected, and returns None for a value that narrows nothing; ``accepts(data, value)`` tells whether an
    event passes; ``schema`` is its JSON schema; ``aliases`` are further names.
    """

    name: str
    parse: Callable[[Any], Any]
    accepts: Callable[[Data, Any], bool]
    schema: Mapping[str, Any]
    description: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """One kind of channel.

    ``pattern`` has ``{param}`` holes filled by ``params`` (name → its allowed values); an optional tail is
    written in brackets: ``footprint.{asset}[.{tf}]``. ``layer`` is the tier that has it. ``ring_s`` is how
    far back a reader can resume, ``ring_length`` bounds it in events. ``merge`` joins two waiting updates
    into one for conflation; without it the newer stands for both, which is right where every event is a
    whole state. ``narrow(data, options)`` rewrites a payload for a subscription's options, None drops it;
    it sees snapshots too. ``view(options)`` is for options that need more than the event itself, None when
    these do not; of a channel whose snapshot is a ``STATE``, with ``as_change``, which makes a whole state
    an update. ``is_on_demand`` channels are written only while somebody listens; of
    an ``is_personal`` one each account has its own, under the same name.
    ``schema`` is the JSON schema of ``data`` in an update, ``snapshot_schema`` that of a snapshot.
    """

    name: str
    pattern: str
    layer: str
    title: str
    params: Mapping[str, tuple[str, ...]]
    schema: Mapping[str, Any]
    policy_default: Policy = Policy.ALL
    snapshot: SnapshotKind = SnapshotKind.RECENT
    snapshot_schema: Mapping[str, Any] | None = None
    source: Callable[[Params], bytes | None] | None = None
    recent: int = 50
    ring_s: int = 300
    ring_length: int = 50_000
    is_on_demand: bool = False
    is_personal: bool = False
    options: tuple[Option, ...] = ()
    merge: Callable[[bytes, bytes], bytes] | None = None
    narrow: Callable[[Data, Mapping[str, Any]], Data | None] | None = None
    view: Callable[[Mapping[str, Any]], View | None] | None = None
    as_change: Callable[[Data], Data] | None = None
    example: Mapping[str, Any] = field(default_factory=dict)

    @property
    def needs_state(self) -> bool:
        """Whether events mean nothing to a reader that missed some before them."""
        return self.snapshot is not SnapshotKind.RECENT

    def option(self, name: str) -> Option | None:
        return next((one for one in self.options if name in (one.name, *one.aliases)), None)


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel by its full name: ``liquidations.BTC``; ``account_id`` is whose personal one it is."""

    name: str
    spec: ChannelSpec
    params: Params
    account_id: int = 0

    @property
    def ring(self) -> str:
        """Where its events are kept. No client can name another account's: no channel has an @."""
        return f"{self.name}@{self.account_id}" if self.account_id else self.name

    def of_account(self, account_id: int) -> Channel:
        return replace(self, account_id=account_id) if self.spec.is_personal else self


_HOLE: Final = re.compile(r"\{(\w+)\}")
_specs: Final[dict[str, ChannelSpec]] = {}
_patterns: Final[dict[str, re.Pattern[str]]] = {}
MAX_NAME_CHARS: Final = 80


def _compiled(pattern: str) -> re.Pattern[str]:
    text = re.escape(pattern).replace(r"\{", "{").replace(r"\}", "}")
    text = text.replace(r"\[", "(?:").replace(r"\]", ")?")
    return re.compile(_HOLE.sub(r"(?P<\1>[A-Za-z0-9_-]+)", text))


def register(spec: ChannelSpec) -> None:
    """Make a channel known; registering the same name again replaces it (apps may start twice)."""
    holes = set(_HOLE.findall(spec.pattern))
    if holes != set(spec.params):
        raise ValueError(f"{spec.name}: pattern has {sorted(holes)}, params {sorted(spec.params)}")
    if spec.snapshot is SnapshotKind.SOURCE and spec.source is None:
        raise ValueError(f"{spec.name}: a snapshot from a source needs one")
    _specs[spec.name] = spec
    _patterns[spec.name] = _compiled(spec.pattern)
    resolve.cache_clear()


def all_specs() -> tuple[ChannelSpec, ...]:
    return tuple(_specs.values())


@lru_cache(maxsize=8192)
def resolve(name: str) -> Channel | None:
    """The channel of this name, None when there is none."""
    if len(name) > MAX_NAME_CHARS:
        return None
    for spec in _specs.values():
        found = _patterns[spec.name].fullmatch(name)
        if found is None:
            continue
        given = {key: value for key, value in found.groupdict().items() if value is not None}
        if all(value in spec.params[key] for key, value in given.items()):
            return Channel(name, spec, given)
    return None


def channel_names(spec: ChannelSpec) -> list[str]:
    """Every full name of a spec, without its optional tail."""
    names = [re.sub(r"\[.*?\]", "", spec.pattern)]
    for param in _HOLE.findall(names[0]):
        names = [name.replace(f"{{{param}}}", v) for name in names for v in spec.params[param]]
    return names
