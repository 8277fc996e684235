"""Server-sent events: the same channels and frames over plain HTTP.

``GET /v1/sse?channels=liquidations.BTC,liquidations.ETH``; options stand beside. The id of each event
holds epoch and seq of every channel in the order of the address, so that a browser's own reconnect
(``Last-Event-ID``) resumes all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

from apps.core import errors
from apps.core.cors import CORS_HEADERS
from apps.core.errors import FocsalError, GoingAway, StreamUnavailable
from apps.core.health import draining
from apps.core.ids import new_request_id
from apps.core.params import invalid
from apps.core.problems import problem_bytes, problem_headers
from apps.keys.authentication import key_from_headers
from apps.stream.client import Client, address_of
from apps.stream.frames import Frame
from apps.stream.identity import AWAY, Identity
from apps.stream.outlet import AsgiSink
from apps.stream.service import StreamService
from apps.stream.session import begin
from apps.stream.subscription import Wish
from apps.stream.testfaults import faults_begin
from apps.stream.tickets import ticket_redeem
from apps.stream.websocket import KEY_IN_URL
from apps.stream.wishes import wishes_of_query
from apps.tiers.headers import MISSING_KEY_DETAIL

PATH: Final = "/v1/sse"
MAX_CHANNELS: Final = 100
RETRY_MS: Final = 2000
_OWN: Final = frozenset({"channels", "ticket", "api_key", "last_event_id"})
_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
    *((name.lower().encode(), value.encode()) for name, value in CORS_HEADERS),
)


def base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _ALPHABET[digit] + digits
    return digits or "0"


def event_id(positions: Sequence[tuple[str, int]]) -> str:
    """``<epoch>-<seq>.<epoch>-<seq>…``; an empty epoch stands for a channel that has not begun."""
    return ".".join(f"{epoch}-{base36(seq)}" for epoch, seq in positions)


def read_event_id(text: str, channels: int) -> list[tuple[str, int] | None]:
    """Positions by channel, None for one without; raises 400 for an id of another address."""
    parts = text.strip().split(".")
    if len(parts) != channels:
        raise invalid("Last-Event-ID", f"an id of this address ({channels} channels)", text)
    found: list[tuple[str, int] | None] = []
    for part in parts:
        epoch, separator, seq = part.partition("-")
        if not separator or not seq or len(part) > 40 or not set(seq) <= set(_ALPHABET):
            raise invalid("Last-Event-ID", "an id as it was sent", text)
        found.append((epoch, int(seq, 36)) if epoch else None)
    return found


class SseDoor:
    """In front of the edge: takes ``GET /v1/sse`` and passes everything else on."""

    def __init__(self, service: StreamService, inner: Any) -> None:
        self._service = service
        self._inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != PATH or scope["method"] != "GET":
            await self._inner(scope, receive, send)
            return
        await self._service.start()
        try:
            identity, wishes = await self._asked(scope)
            sink = _SseSink(send)
            client = Client(sink, "sse", address_of(scope))
            sink.client, sink.names = client, [wish.channel.name for wish in wishes]
            client.outlet.stamp = sink.stamp
            refusal = faults_begin(client, scope)
            if refusal is not None:
                raise refusal
            await self._service.enter(client, identity)
        except FocsalError as error:
            await _refuse(send, error)
            return
        try:
            await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
            first = f"retry: {RETRY_MS}\n\n".encode()
            await send({"type": "http.response.body", "body": first, "more_body": True})
            if _is_key_in_url(scope):
                client.push(KEY_IN_URL)
            for wish in wishes:
                client.spawn(self._begin(client, identity, wish))
            await _until_left(receive, sink.ended)
        finally:
            await self._service.leave(client)

    async def _begin(self, client: Client, identity: Identity, wish: Wish) -> None:
        try:
            await begin(client, identity, self._service.hub, wish)
        except FocsalError as error:
            client.fail(error, channel=wish.channel.name)

    async def _asked(self, scope: Any) -> tuple[Identity, list[Wish]]:
        if draining.is_set():
            raise GoingAway("This server restarts; connect again.", retry_after=1)
        headers = dict(scope["headers"])
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        identity = await self._identify(headers, query, address_of(scope))
        names = [name for name in query.get("channels", "").split(",") if name]
        if not 1 <= len(names) <= MAX_CHANNELS or len(set(names)) != len(names):
            raise invalid(
                "channels",
                f"1 to {MAX_CHANNELS} different names, comma-separated",
                query.get("channels", ""),
            )
        if len(names) > 1 and "from_seq" in query:
            raise invalid(
                "from_seq", "one channel, for seqs are each channel's own", str(len(names))
            )
        options = {name: value for name, value in query.items() if name not in _OWN}
        wishes = wishes_of_query(names, options)
        for wish in wishes:
            denied = identity.channel_error(wish.channel)
            if denied is not None:
                raise denied
        last = headers.get(b"last-event-id", b"").decode("latin-1") or query.get("last_event_id")
        return identity, _resumed(wishes, last) if last else wishes

    async def _identify(
        self, headers: dict[bytes, bytes], query: dict[str, str], address: str
    ) -> Identity:
        authenticator = self._service.authenticator
        key = key_from_headers(
            headers.get(b"x-api-key", b"").decode("latin-1") or None,
            headers.get(b"authorization", b"").decode("latin-1") or None,
        )
        key = key or query.get("api_key")
        if key:
            return await authenticator.by_key(key, address)
        if "ticket" not in query:
            raise errors.MissingApiKey(MISSING_KEY_DETAIL)
        try:
            return await authenticator.by_hash(
                await ticket_redeem(self._service.redis, query["ticket"]), address
            )
        except AWAY:
            raise StreamUnavailable("Tickets cannot be checked at the moment.") from None


def _is_key_in_url(scope: Any) -> bool:
    names = {name for name, _ in scope["headers"]}
    is_in_header = not names.isdisjoint((b"x-api-key", b"authorization"))
    return b"api_key=" in scope["query_string"] and not is_in_header


def _resumed(wishes: Sequence[Wish], last: str) -> list[Wish]:
    positions = read_event_id(last, len(wishes))
    return [
        wish
        if position is None
        else Wish(
            wish.channel, wish.policy, position[1], position[0], wish.throttle_ms, wish.options
        )
        for wish, position in zip(wishes, positions, strict=True)
    ]


class _SseSink(AsgiSink):
    """Frames as events; the id says where every channel stood when the frame was handed over."""

    client: Client
    names: list[str]

    def __init__(self, send: Any) -> None:
        self.ended = asyncio.Event()
        super().__init__(send, self._event, self._end, self.ended.set)

    def stamp(self, frame: Frame) -> Frame:
        subscriptions = [self.client.subscriptions.get(name) for name in self.names]
        positions = [("", 0) if one is None else (one.epoch, one.safe_seq) for one in subscriptions]
        return Frame(b"id: %b\ndata: %b\n\n" % (event_id(positions).encode(), frame.text))

    def _event(self, frame: Frame) -> Any:
        return {"type": "http.response.body", "body": frame.text, "more_body": True}

    def _end(self, code: int, reason: str) -> Any:
        return {"type": "http.response.body", "body": b"", "more_body": False}


async def _until_left(receive: Any, ended: asyncio.Event) -> None:
    async def left() -> None:
        while (await receive())["type"] != "http.disconnect":
            continue

    waiting = [asyncio.create_task(left()), asyncio.create_task(ended.wait())]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _refuse(send: Any, error: FocsalError) -> None:
    request_id = new_request_id()
    body = problem_bytes(error, request_id)
    pairs = [*problem_headers(error), *CORS_HEADERS, ("X-Request-Id", request_id)]
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs]
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
