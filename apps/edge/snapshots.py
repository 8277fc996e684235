"""Answers to GETs of published snapshots: admission and version in one question, bytes from memory."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Final

from channels.db import database_sync_to_async
from django.conf import settings
from django.db import Error as DatabaseError

from apps.core.logs import get_logger
from apps.edge.answers import (
    RAW_CADENCE,
    RAW_OUTCOME,
    RAW_SNAPSHOT_TS,
    RAW_TS_US,
    RAW_USAGE_ID,
    RAW_VERSION,
    Reply,
    admission_headers,
    problem_reply,
    raw_rate_headers,
)
from apps.edge.bodies import HASH_FIELDS, Body, document_from_hash, not_modified_headers
from apps.edge.commands import AdmitCommand
from apps.edge.door import Door
from apps.edge.metrics import EdgeMetrics
from apps.edge.plans import UNKNOWN, Remembered, SnapshotPlan, logged_params
from apps.edge.redis_pipe import RedisAway, RedisPipe
from apps.edge.statics import JSON_TYPE, Header
from apps.markets.queries import simple_asset
from apps.snapshots import store
from apps.snapshots.registry import by_path
from apps.tiers.admission import Admission, AdmissionRequest, Outcome
from apps.tiers.headers import refusal
from apps.tiers.limits import etag_candidates

_log = get_logger(__name__)
# While Redis is away PostgreSQL is asked for a snapshot at most this often.
_STORED_FOR_S: Final = 1.0


@dataclass(slots=True)
class Asked:
    """One GET or HEAD of a snapshot. ``now_ms`` is market time, the same for all of the answer."""

    plan: SnapshotPlan
    headers: dict[bytes, bytes]
    request_id: str
    static: tuple[Header, ...]
    now_ms: int
    client_ip: str = ""


class SnapshotDesk:
    """Holds the bodies and the plans; one per process."""

    def __init__(self, pipe: RedisPipe, door: Door, metrics: EdgeMetrics) -> None:
        self._pipe = pipe
        self._door = door
        self._metrics = metrics
        self._plans = Remembered()
        self._bodies: dict[tuple[str, str], Body] = {}

    def plan(self, method: str, path: str, raw_query: bytes) -> SnapshotPlan | None:
        """How to answer this address; None when it is not a plain question for one snapshot."""
        address = (method, path, raw_query)
        plan: SnapshotPlan | None = self._plans.get(address, UNKNOWN)
        if plan is UNKNOWN:
            plan = self._plans.keep(address, self._make_plan(method, path, raw_query))
        return plan

    def _make_plan(self, method: str, path: str, raw_query: bytes) -> SnapshotPlan | None:
        spec = by_path(path)
        asset = None if spec is None else simple_asset(raw_query.decode("latin-1"))
        if spec is None or asset is None:
            return None
        body = self._bodies.setdefault((spec.metric, asset), Body(spec.metric, asset))
        params = logged_params(raw_query)
        command = AdmitCommand(
            layer=spec.layer,
            metric=spec.metric,
            asset=asset,
            path=path,
            method=method,
            params=params,
        )
        return SnapshotPlan(spec, asset, method, params, body, command)

    async def reply(self, asked: Asked, key_hash: str) -> Reply | Admission:
        """The answer; or the admission, when there is no snapshot and Django must say so."""
        plan = asked.plan
        if_none_match = asked.headers.get(b"if-none-match")
        command = plan.command.fill(
            key_hash, if_none_match, asked.now_ms, asked.request_id, asked.client_ip
        )
        first: list[bytes] | RedisAway
        try:
            raw = first = await self._door.run(command)
        except RedisAway as away:
            first = away
        else:
            outcome = raw[RAW_OUTCOME]
            if outcome == b"admitted":
                body = plan.body
                if body.version == raw[RAW_VERSION]:
                    self._metrics.cache_hits += 1
                elif not await self._find(body):
                    return self._door.decoded(raw, plan.spec.layer)
                return _found(asked, body, raw)
            if outcome == b"not_modified":
                return _not_modified(asked, raw)
        return await self._settle(asked, key_hash, first)

    async def _load(self, body: Body) -> bool:
        """Read a newer version; False when nothing is published."""
        self._metrics.cache_misses += 1
        key = store.snapshot_key(body.metric, body.asset)
        values = await self._pipe.call("HMGET", key, *HASH_FIELDS)
        document = document_from_hash(body.metric, body.asset, values)
        if document is None:
            return False
        body.replace(document)
        return True

    async def _settle(
        self, asked: Asked, key_hash: str, first: list[bytes] | RedisAway
    ) -> Reply | Admission:
        """The ways that are not the fast one: refusals, keys that Redis does not know yet, lost
        counters, Redis away."""
        plan = asked.plan
        if_none_match = asked.headers.get(b"if-none-match")
        request = AdmissionRequest(
            key_hash=key_hash,
            request_id=asked.request_id,
            cost=1,
            layer=plan.spec.layer,
            metric=plan.spec.metric,
            asset=plan.asset,
            if_none_match=None if if_none_match is None else if_none_match.decode("latin-1"),
            market_now_ms=asked.now_ms,
            path=plan.spec.path,
            method=plan.method,
            params=plan.params,
            client_ip=asked.client_ip,
        )
        admission = await self._door.settle(request, first)
        error = refusal(admission, settings.KEY_ENVIRONMENT)
        if error is not None:
            return problem_reply(error, asked.request_id, asked.static, admission)
        if not await self._find(plan.body):
            return admission
        return _reply_from(asked, admission, request.if_none_match)

    async def _find(self, body: Body) -> bool:
        """The body from Redis; while that is away or has lost its data, from PostgreSQL or memory."""
        is_away = not self._pipe.is_up
        if not is_away:
            try:
                if await self._load(body):
                    self._metrics.fallback_active = False
                    return True
            except RedisAway:
                is_away = True
        self._metrics.fallback_active = is_away
        self._metrics.fallback_answers += is_away
        now_s = monotonic()
        if body.document is None or now_s - body.stored_at_s >= _STORED_FOR_S:
            body.stored_at_s = now_s
            await self._load_stored(body)
        return body.document is not None

    async def _load_stored(self, body: Body) -> None:
        try:
            read = database_sync_to_async(store.read_stored, thread_sensitive=False)
            document = (await read(body.metric, [body.asset])).get(body.asset)
        except DatabaseError as error:
            # What is in memory goes on being served, older each second and saying so.
            _log.warning("edge_snapshot_database_away", error=type(error).__name__)
            return
        held = body.document
        if document is not None and (held is None or document.version > held.version):
            body.replace(document)


def _found(asked: Asked, body: Body, raw: list[bytes]) -> Reply:
    content, own = body.render(asked.now_ms)
    headers = [JSON_TYPE, *asked.static, *own, *raw_rate_headers(raw, asked.request_id)]
    return Reply(200, headers, content, raw[RAW_USAGE_ID].decode(), int(raw[RAW_TS_US]))


def _not_modified(asked: Asked, raw: list[bytes]) -> Reply:
    own = not_modified_headers(
        int(raw[RAW_VERSION]), int(raw[RAW_SNAPSHOT_TS]), int(raw[RAW_CADENCE]), asked.now_ms
    )
    headers = [*asked.static, *own, *raw_rate_headers(raw, asked.request_id)]
    return Reply(304, headers, b"", raw[RAW_USAGE_ID].decode(), int(raw[RAW_TS_US]))


def _reply_from(asked: Asked, admission: Admission, if_none_match: str | None) -> Reply:
    """200 or 304 of an admission that did not come by the fast way."""
    body = asked.plan.body
    document = body.document
    assert document is not None  # noqa: S101 - ``_find`` said so
    candidates = etag_candidates(if_none_match).split()
    current = f"{document.version}-{document.freshness(asked.now_ms).letter}"
    is_held = "*" in candidates or current in candidates
    status = 304 if is_held or admission.outcome is Outcome.NOT_MODIFIED else 200
    content, own = body.render(asked.now_ms)
    headers = [*asked.static, *own, *admission_headers(admission, status, asked.request_id)]
    if status == 304:
        headers = [pair for pair in headers if pair[0] != b"content-length"]
        return Reply(304, headers, b"", admission.usage_id, admission.ts_us)
    return Reply(200, [JSON_TYPE, *headers], content, admission.usage_id, admission.ts_us)
