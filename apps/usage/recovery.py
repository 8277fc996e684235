"""Counting what was spooled while Redis was away."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from apps.core.logs import get_logger
from apps.core.redis import decisive_redis
from apps.tiers.limits import COMPLETIONS_STREAM
from apps.usage import spool
from apps.usage.completions import Completion, decode_completion
from apps.usage.counters import counters_forget, counters_rebuild
from apps.usage.events import AdmissionEvent, admission_event
from apps.usage.store import usage_store

_log = get_logger(__name__)
_CHUNK: Final = 2000


def spool_drain() -> int:
    """Bring spooled usage into the log and recount; the number of files. Repeating it is harmless."""
    if not spool.has_files():
        return 0
    client: Any = decisive_redis()
    client.ping()
    files = spool.take()
    for path in files:
        _store_file(path)
    if files:
        # The counters know nothing of these admissions: recount before the files go.
        counters_forget()
        counters_rebuild()
    for path in files:
        path.unlink(missing_ok=True)
    return len(files)


def _store_file(path: Path) -> None:
    try:
        admissions, completions = _read(path)
    except FileNotFoundError:
        # Another process on this host stored and removed it meanwhile.
        return
    for start in range(0, len(admissions), _CHUNK):
        usage_store(admissions[start : start + _CHUNK], [])
    for start in range(0, len(completions), _CHUNK):
        joinable = usage_store([], completions[start : start + _CHUNK])
        _hand_over(joinable.unknown)
    _log.info("spool_counted", admissions=len(admissions), completions=len(completions))


def _hand_over(completions: list[Completion]) -> None:
    """Completions of admissions that are still in the stream join them there."""
    for completion in completions:
        decisive_redis().xadd(COMPLETIONS_STREAM, {"c": completion.encode()})


def _read(path: Path) -> tuple[list[AdmissionEvent], list[Completion]]:
    admissions, completions = [], []
    for event in spool.read(path):
        try:
            if event.get("type") == "admission":
                admissions.append(admission_event(str(event["id"]), event))
            else:
                completions.append(decode_completion(str(event["c"])))
        except (KeyError, ValueError):
            _log.error("spool_event_unreadable", file=path.name)
    return admissions, completions
