"""The WebSocket door: ASGI straight from the server, without Django or a consumer between.

Accepts first, so that a refused client reads why; then authenticates by header, ticket, query string or
first frame; then hands every message to its session.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import parse_qsl

from apps.core import errors
from apps.core.errors import AuthTimeout, FocsalError, InvalidFrame, StreamUnavailable
from apps.core.health import draining
from apps.core.logs import get_logger
from apps.keys.authentication import key_from_headers
from apps.stream.client import Client, address_of
from apps.stream.errors import CLOSE_DEFECT, CLOSE_RESTART
from apps.stream.frames import Frame, error_frame, op_frame
from apps.stream.identity import AWAY, Identity
from apps.stream.outlet import AsgiSink
from apps.stream.service import StreamService, going_away
from apps.stream.session import Session
from apps.stream.testfaults import close_code_of, faults_begin
from apps.stream.tickets import ticket_redeem
from apps.stream.wire import sink_of
from apps.stream.wishes import parse_message

_log = get_logger(__name__)
PATHS: Final = frozenset({"/v1/ws", "/v1/stream"})
AUTH_TIMEOUT_S: Final = 10.0
_NO_KEY: Final = (
    'Send the key as X-API-Key, or as first frame {"op": "auth", "api_key": "…"} or '
    '{"op": "auth", "ticket": "…"}.'
)
KEY_IN_URL: Final = op_frame(
    "warning",
    code="key_in_url",
    detail="Addresses end up in logs and histories: send the key as X-API-Key, in a first frame, or use "
    "a ticket (POST /v1/ws/ticket).",
)


class Gone(Exception):
    """The client has left."""


class WebSocketDoor:
    """An ASGI application for ``websocket`` scopes of ``PATHS``."""

    def __init__(self, service: StreamService) -> None:
        self._service = service

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        if message["type"] != "websocket.connect":
            return
        await self._service.start()
        await send({"type": "websocket.accept"})
        client = Client(sink_of(scope) or _asgi_sink(send), "websocket", address_of(scope))
        if draining.is_set():
            client.outlet.finish(CLOSE_RESTART, "going_away", going_away(0.0))
            await client.gone()
            return
        try:
            await self._serve(client, scope, receive)
        except Gone:
            pass
        except FocsalError as error:
            self._service.close(client, error)
            await _until_gone(receive)
        except Exception:
            _log.exception("stream_defect", session=client.id)
            client.outlet.finish(CLOSE_DEFECT, "internal")
            await _until_gone(receive)
        finally:
            await self._service.leave(client)

    async def _serve(self, client: Client, scope: Any, receive: Any) -> None:
        identity = await self._identify(client, scope, receive)
        refusal = faults_begin(client, scope)
        if refusal is not None:
            client.outlet.finish(close_code_of(client), refusal.code, error_frame(refusal))
            await _until_gone(receive)
            return
        await self._service.enter(client, identity)
        session = Session(client, identity, self._service.hub)
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                raise Gone
            text = message.get("text")
            if text is None:
                session.on_binary()
            else:
                await session.on_text(text)

    # --- who -----------------------------------------------------------------------------------------

    async def _identify(self, client: Client, scope: Any, receive: Any) -> Identity:
        headers = dict(scope["headers"])
        key = key_from_headers(
            _text(headers.get(b"x-api-key")), _text(headers.get(b"authorization"))
        )
        if key is not None:
            return await self._by_key(client, key)
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        if "ticket" in query:
            return await self._by_ticket(client, query["ticket"])
        if "api_key" in query:
            identity = await self._by_key(client, query["api_key"])
            client.push(KEY_IN_URL)
            return identity
        try:
            async with asyncio.timeout(AUTH_TIMEOUT_S):
                return await self._by_first_frame(client, receive)
        except TimeoutError:
            raise AuthTimeout(
                f"Expected authentication within {AUTH_TIMEOUT_S:.0f} s. {_NO_KEY}"
            ) from None

    async def _by_first_frame(self, client: Client, receive: Any) -> Identity:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            raise Gone
        text = message.get("text")
        if text is None:
            raise InvalidFrame(f"Expected a text frame. {_NO_KEY}")
        given = parse_message(text)
        key, ticket = given.get("api_key"), given.get("ticket")
        if given["op"] != "auth" or not (isinstance(key, str) or isinstance(ticket, str)):
            raise errors.MissingApiKey(_NO_KEY)
        if isinstance(key, str):
            identity = await self._by_key(client, key)
        else:
            identity = await self._by_ticket(client, str(ticket))
        client.push(
            op_frame(
                "authenticated",
                plan=identity.plan,
                layers=sorted(identity.layers),
                session=client.id,
                max_subscriptions=identity.max_subscriptions,
            )
        )
        return identity

    async def _by_key(self, client: Client, key: str) -> Identity:
        return await self._service.authenticator.by_key(key, client.address)

    async def _by_ticket(self, client: Client, ticket: str) -> Identity:
        try:
            key_hash = await ticket_redeem(self._service.redis, ticket)
        except AWAY:
            raise StreamUnavailable("Tickets cannot be checked at the moment.") from None
        return await self._service.authenticator.by_hash(key_hash, client.address)


async def _until_gone(receive: Any) -> None:
    """The closing handshake is the server's; wait for its end."""
    while (await receive())["type"] != "websocket.disconnect":
        continue


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _asgi_sink(send: Any) -> AsgiSink:
    def message(frame: Frame) -> Any:
        return {"type": "websocket.send", "text": frame.text.decode()}

    def last(code: int, reason: str) -> Any:
        return {"type": "websocket.close", "code": code, "reason": reason}

    return AsgiSink(send, message, last, lambda: None)
