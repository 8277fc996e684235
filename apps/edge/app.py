"""The fast lane: an ASGI callable in front of Django.

It answers GET and HEAD of published snapshots itself: form and checksum of the key without a look-up, one
Redis round trip for everything else (key, tier, limits, usage event, snapshot version, 304), bytes from
memory. Every other keyed request under /v1 is admitted here once and passed on with the decision in
``scope["focsal.admission"]``. What the edge is not sure about is Django's to answer.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import Final

from django.conf import settings

from apps.core import errors
from apps.core.clock import market_clock
from apps.core.logs import get_logger
from apps.core.params import request_cost
from apps.edge.answers import Reply, problem_reply, send_reply
from apps.edge.asgi_types import AsgiApp, Receive, Scope, Send
from apps.edge.door import Door
from apps.edge.metrics import EdgeMetrics
from apps.edge.plans import UNKNOWN, KeyedView, Remembered, keyed_view, logged_params
from apps.edge.redis_pipe import RedisBusy, RedisPipe
from apps.edge.requests import Gatekeeper, client_ip_of, header_map, request_id_of
from apps.edge.snapshots import Asked, SnapshotDesk
from apps.edge.statics import Header, static_headers
from apps.tiers.admission import AdmissionRequest
from apps.tiers.headers import MISSING_KEY_DETAIL, refusal
from apps.usage.completions import CompletionBuffer

_log = get_logger(__name__)
# Requests inside Django at once, waiting ones included; beyond that 503 is kinder than a queue.
MAX_INSIDE: Final = 512
_BUSY_RETRY_S: Final = 1
# Whoever asks for a fault gets an answer made for that caller alone: Django's work.
_TEST_FAULT: Final = b"x-test-fault"
_VARY_COOKIE: Final = (b"vary", b"Cookie")


class EdgeApplication:
    """``inner`` is Django. ``start`` and ``stop`` belong to the server's event loop."""

    def __init__(
        self, inner: AsgiApp, *, redis_url: str | None = None, metrics: EdgeMetrics | None = None
    ) -> None:
        self._inner = inner
        self.metrics = metrics or EdgeMetrics()
        self._pipe = RedisPipe(redis_url or settings.REDIS_EDGE_URL)
        self._door = Door(self._pipe)
        self._desk = SnapshotDesk(self._pipe, self._door, self.metrics)
        self._completions = CompletionBuffer(self._door.send_completions)
        self._gatekeeper = Gatekeeper()
        self._views = Remembered()
        self._inside = 0
        self._is_started = False

    async def start(self) -> None:
        if not self._is_started:
            self._is_started = True
            await self._pipe.start()
            await self._completions.start()

    async def stop(self) -> None:
        """Every completion is flushed before the connection closes."""
        if self._is_started:
            self._is_started = False
            await self._completions.stop()
            await self._pipe.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        started_ns = perf_counter_ns()
        headers = header_map(scope["headers"])
        request_id = request_id_of(headers)
        scope["focsal.request_id"] = request_id
        path: str = scope["path"]
        if not path.startswith("/v1/"):
            await self._pass_on(scope, receive, send)
            return
        if not self._is_started:
            # A server without lifespan events.
            await self.start()
        method: str = scope["method"]
        if (method == "GET" or method == "HEAD") and _TEST_FAULT not in headers:
            plan = self._desk.plan(method, path, scope["query_string"])
            if plan is not None:
                static = self._gatekeeper.fitting(headers, scope["scheme"])
                if static is not None:
                    now_ms = market_clock.now_ms()
                    client_ip = client_ip_of(scope)
                    asked = Asked(plan, headers, request_id, static, now_ms, client_ip)
                    await self._answer(asked, scope, receive, send, started_ns)
                    return
        await self._admit_and_pass_on(scope, receive, send, headers, started_ns)

    async def _answer(
        self, asked: Asked, scope: Scope, receive: Receive, send: Send, started_ns: int
    ) -> None:
        """A published snapshot."""
        headers = asked.headers
        try:
            key_hash = self._gatekeeper.key_hash(headers)
            if key_hash is None:
                if self._gatekeeper.has_session(headers):
                    await self._pass_on(scope, receive, send)
                    return
                # With a session cookie the answer would be another.
                asked.static = (*asked.static, _VARY_COOKIE)
                raise errors.MissingApiKey(MISSING_KEY_DETAIL)
            reply = await self._desk.reply(asked, key_hash)
        except RedisBusy:
            reply = self._busy(asked.request_id, asked.static)
        except errors.FocsalError as error:
            reply = problem_reply(error, asked.request_id, asked.static)
        except Exception:
            _log.exception("edge_defect", request_id=asked.request_id, path=scope["path"])
            reply = problem_reply(_defect(), asked.request_id, asked.static)
        if isinstance(reply, Reply):
            await self._send(reply, send, scope, asked.plan.spec.path, started_ns)
        else:
            # Nothing is published yet: Django knows what to say, and nothing is charged twice.
            scope["focsal.admission"] = reply
            await self._pass_on(scope, receive, send)

    async def _admit_and_pass_on(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: dict[bytes, bytes],
        started_ns: int,
    ) -> None:
        """Any other address under /v1: refused here, or decided here and answered by Django."""
        path: str = scope["path"]
        view: KeyedView | None = self._views.get(path, UNKNOWN)
        if view is UNKNOWN:
            view = self._views.keep(path, keyed_view(path))
        static = self._gatekeeper.trusted(headers, scope["scheme"])
        if view is None or static is None or scope["method"] == "OPTIONS":
            await self._pass_on(scope, receive, send)
            return
        request_id: str = scope["focsal.request_id"]
        try:
            key_hash = self._gatekeeper.key_hash(headers)
            if key_hash is None:
                await self._pass_on(scope, receive, send)
                return
            admission = await self._door.admit(_request_for(scope, view, key_hash))
            error = refusal(admission, settings.KEY_ENVIRONMENT)
        except RedisBusy:
            await self._send(self._busy(request_id, static), send, scope, "other", started_ns)
            return
        except errors.FocsalError as refused:
            admission, error = None, refused
        if error is not None:
            reply = problem_reply(error, request_id, static, admission)
            await self._send(reply, send, scope, "other", started_ns)
            return
        scope["focsal.admission"] = admission
        await self._pass_on(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._inside >= MAX_INSIDE:
            reply = self._busy(scope["focsal.request_id"], static_headers(scope["scheme"]))
            await send_reply(send, reply, is_head=scope["method"] == "HEAD")
            return
        self._inside += 1
        try:
            await self._inner(scope, receive, send)
        finally:
            self._inside -= 1

    def _busy(self, request_id: str, static: tuple[Header, ...]) -> Reply:
        self.metrics.shed += 1
        error = errors.Overloaded(
            "Too many requests are waiting; try again in a second.", retry_after=_BUSY_RETRY_S
        )
        return problem_reply(error, request_id, static)

    async def _send(
        self, reply: Reply, send: Send, scope: Scope, route: str, started_ns: int
    ) -> None:
        await send_reply(send, reply, is_head=scope["method"] == "HEAD")
        elapsed_ns = perf_counter_ns() - started_ns
        self.metrics.observe(route, reply.status, elapsed_ns / 1e9)
        if reply.usage_id:
            self._completions.add(
                reply.usage_id, reply.ts_us, reply.status, elapsed_ns // 1000, len(reply.body)
            )


def _request_for(scope: Scope, view: KeyedView, key_hash: str) -> AdmissionRequest:
    query: bytes = scope["query_string"]
    path: str = scope["path"]
    return AdmissionRequest(
        key_hash=key_hash,
        request_id=scope["focsal.request_id"],
        cost=request_cost(path, query.decode("latin-1")),
        layer=view.layer,
        metric=view.metric,
        asset=None,
        if_none_match=None,
        market_now_ms=market_clock.now_ms(),
        path=path,
        method=scope["method"],
        params=logged_params(query),
        client_ip=client_ip_of(scope),
    )


def _defect() -> errors.FocsalError:
    return errors.InternalError("The request failed on our side; quote the request id.")
