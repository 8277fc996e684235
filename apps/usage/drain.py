"""From the Redis streams into the usage log, at least once and without doubles.

One batch: read (or take over what a dead consumer left) → one PostgreSQL transaction, with refunds given
inside it → acknowledge and delete. Killed between any two steps, the batch is delivered again: inserts
meet their own rows, completions find theirs closed, refunds their marker.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import transaction
from redis.exceptions import ResponseError

from apps.core.logs import get_logger
from apps.core.redis import decisive_redis
from apps.tiers.limits import ADMISSIONS_STREAM, COMPLETIONS_STREAM
from apps.usage.completions import Completion, decode_completion
from apps.usage.counters import generation, refunds_give
from apps.usage.events import AdmissionEvent, Entry, admission_events
from apps.usage.store import (
    admissions_insert,
    completions_apply,
    completions_join,
    lock_shared,
)

GROUP: Final = "usage"
BATCH: Final = 500
# A consumer silent for this long is taken for dead and its batch is taken over.
STALE_MS: Final = 30_000
# A completion waits this long for its admission before it is given up.
UNKNOWN_GIVEN_UP_MS: Final = 600_000
_IDLE_CONSUMER_MS: Final = 3_600_000
_log = get_logger(__name__)


@dataclass(slots=True)
class Batch:
    """Entries of one round; ``admission_ids`` and ``completions`` name all that were read."""

    admissions: list[AdmissionEvent] = field(default_factory=list)
    admission_ids: list[bytes] = field(default_factory=list)
    completions: dict[bytes, Completion] = field(default_factory=dict)
    unreadable_completions: list[bytes] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.admission_ids or self.completions or self.unreadable_completions)


class UsageDrain:
    """One consumer of both streams."""

    def __init__(self, consumer: str | None = None, stale_ms: int = STALE_MS) -> None:
        self._client: Any = decisive_redis()
        self._consumer = consumer or f"{socket.gethostname()}-{os.getpid()}"
        self._stale_ms = stale_ms

    def run(self, budget_s: float) -> int:
        """Drain until nothing is left or the time is used up; the number of admissions read."""
        ends = time.monotonic() + budget_s
        total = 0
        while time.monotonic() < ends:
            batch = self.read()
            if not batch:
                break
            total += len(batch.admission_ids)
            waiting = self.store(batch)
            self.acknowledge(batch, waiting)
        return total

    def read(self) -> Batch:
        # Completions first: whatever they belong to was admitted before, so it is in the stream by now.
        completions = self._entries(COMPLETIONS_STREAM)
        admissions = self._entries(ADMISSIONS_STREAM)
        batch = Batch(admission_ids=[entry_id for entry_id, _ in admissions])
        batch.admissions, unreadable = admission_events(admissions)
        for entry_id, fields in completions:
            try:
                batch.completions[entry_id] = decode_completion(fields[b"c"])
            except (KeyError, ValueError):
                batch.unreadable_completions.append(entry_id)
        if unreadable or batch.unreadable_completions:
            count = len(unreadable) + len(batch.unreadable_completions)
            _log.error("usage_entries_unreadable", count=count)
        return batch

    def store(self, batch: Batch) -> set[bytes]:
        """Write the batch; the entry ids of completions whose admission is not in the log yet."""
        with transaction.atomic():
            lock_shared()
            counters = generation()
            admissions_insert(batch.admissions)
            joinable = completions_join(list(batch.completions.values()))
            # Before the commit: a rolled-back refund is given once more only to recounted counters.
            refunds_give(joinable.refunds, counters)
            completions_apply(joinable.open_rows)
        unknown = {completion.usage_id for completion in joinable.unknown}
        return {
            entry_id
            for entry_id, completion in batch.completions.items()
            if completion.usage_id in unknown
        }

    def acknowledge(self, batch: Batch, waiting: set[bytes]) -> None:
        """Forget what is stored. Waiting completions stay pending and are read again when stale."""
        given_up = self._too_old(waiting)
        if given_up:
            _log.error("usage_completions_given_up", count=len(given_up))
        done = [
            entry_id
            for entry_id in (*batch.completions, *batch.unreadable_completions)
            if entry_id not in waiting or entry_id in given_up
        ]
        pipeline = self._client.pipeline(transaction=True)
        for stream, ids in ((ADMISSIONS_STREAM, batch.admission_ids), (COMPLETIONS_STREAM, done)):
            if ids:
                pipeline.xack(stream, GROUP, *ids)
                pipeline.xdel(stream, *ids)
        pipeline.execute()

    def forget_idle_consumers(self) -> None:
        """Drop the names of processes that are gone and left nothing behind."""
        for stream in (ADMISSIONS_STREAM, COMPLETIONS_STREAM):
            self._ensure_group(stream)
            for consumer in self._client.xinfo_consumers(stream, GROUP):
                if consumer["pending"] == 0 and consumer["idle"] > _IDLE_CONSUMER_MS:
                    self._client.xgroup_delconsumer(stream, GROUP, consumer["name"])

    def _too_old(self, waiting: set[bytes]) -> set[bytes]:
        if not waiting:
            return set()
        seconds, _ = self._client.time()
        oldest_ms = int(seconds) * 1000 - UNKNOWN_GIVEN_UP_MS
        return {entry_id for entry_id in waiting if int(entry_id.split(b"-")[0]) < oldest_ms}

    def _entries(self, stream: str) -> list[Entry]:
        try:
            return self._claimed(stream) or self._fresh(stream)
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            self._ensure_group(stream)
            return self._fresh(stream)

    def _claimed(self, stream: str) -> list[Entry]:
        answer = self._client.xautoclaim(
            stream, GROUP, self._consumer, min_idle_time=self._stale_ms, count=BATCH
        )
        # Redis 6.2 lists entries that were deleted meanwhile as nothing.
        return [(entry_id, fields) for entry_id, fields in answer[1] if entry_id and fields]

    def _fresh(self, stream: str) -> list[Entry]:
        answer = self._client.xreadgroup(GROUP, self._consumer, {stream: ">"}, count=BATCH)
        if not answer:
            return []
        found = answer[0][1] if isinstance(answer, list) else next(iter(answer.values()))
        return [(entry_id, fields) for entry_id, fields in found if fields]

    def _ensure_group(self, stream: str) -> None:
        try:
            self._client.xgroup_create(stream, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
