"""Usage events as they lie in the Redis streams and in the spool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class AdmissionEvent:
    """A request that was let in (or refused by tier); ``cost`` was charged, 0 for 304."""

    usage_id: str
    ts_us: int
    request_id: str
    account_id: int
    key_id: int
    environment: str
    market: str
    metric: str
    method: str
    path: str
    params: str
    cost: int

    @property
    def ts(self) -> datetime:
        return moment(self.ts_us)

    def fields(self) -> dict[str, Any]:
        """The form that ``admission_event`` reads back."""
        return {
            "id": self.usage_id,
            "ts": self.ts_us,
            "r": self.request_id,
            "a": self.account_id,
            "k": self.key_id,
            "e": self.environment,
            "m": self.market,
            "x": self.metric,
            "h": self.method,
            "p": self.path,
            "q": self.params,
            "c": self.cost,
        }


def moment(ts_us: int) -> datetime:
    """Wall-clock microseconds as an aware UTC time, exactly."""
    seconds, micros = divmod(ts_us, 1_000_000)
    return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=micros)


def admission_event(usage_id: str, fields: Mapping[str, Any]) -> AdmissionEvent:
    """Raises KeyError or ValueError on anything that was not written by us."""
    return AdmissionEvent(
        usage_id=usage_id[:40],
        ts_us=int(fields["ts"]),
        request_id=_text(fields["r"], 64),
        account_id=int(fields["a"]),
        key_id=int(fields["k"]),
        environment=_text(fields["e"], 4),
        market=_text(fields["m"], 8),
        metric=_text(fields["x"], 60),
        method=_text(fields["h"], 8),
        path=_text(fields["p"], 200),
        params=_text(fields["q"], 200),
        cost=int(fields["c"]),
    )


def _text(value: Any, length: int) -> str:
    # PostgreSQL takes no NUL, and one bad row would hold up its whole batch.
    return str(value).replace("\0", "")[:length]


Entry = tuple[bytes, Mapping[bytes, bytes]]


def admission_events(entries: Iterable[Entry]) -> tuple[list[AdmissionEvent], list[bytes]]:
    """The events of these stream entries, and the ids of entries that nobody of us wrote."""
    events, unreadable = [], []
    for entry_id, fields in entries:
        try:
            events.append(admission_event(entry_id.decode(), text_fields(fields)))
        except (KeyError, ValueError):
            unreadable.append(entry_id)
    return events, unreadable


def text_fields(raw: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode("utf-8", "replace") for name, value in raw.items()}
