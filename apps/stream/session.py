"""What a WebSocket client may say, and what it is answered: DESIGN's protocol, one message at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from apps.core.errors import (
    AlreadyAuthenticated,
    FocsalError,
    InvalidFrame,
    InvalidParameter,
    NotSubscribed,
    RateLimited,
    SubscriptionLimit,
    UnknownOp,
)
from apps.core.params import shown
from apps.stream.client import Client
from apps.stream.frames import error_frame, now_iso, op_frame
from apps.stream.identity import Identity
from apps.stream.subscription import Subscription, Wish
from apps.stream.wishes import channel_names, parse_message, wish_of

if TYPE_CHECKING:
    from apps.stream.hub import Hub

BURST: Final = 1500
PER_SECOND: Final = 50.0
_AT_ONCE: Final = 64


class Allowance:
    """A bucket of messages: so many at once, so many per second."""

    def __init__(self, now_s: float) -> None:
        self._left = float(BURST)
        self._at_s = now_s

    def take(self, now_s: float) -> bool:
        self._left = min(float(BURST), self._left + (now_s - self._at_s) * PER_SECOND)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Session:
    """An authenticated client's messages."""

    def __init__(self, client: Client, identity: Identity, hub: Hub) -> None:
        self._client = client
        self._hub = hub
        self._allowance = Allowance(client.loop.time())
        self._ops: dict[str, Callable[[Mapping[str, Any]], Coroutine[Any, Any, None]]] = {
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "ping": self._ping,
            "auth": self._auth,
        }
        client.identity = identity

    @property
    def _identity(self) -> Identity:
        identity = self._client.identity
        assert identity is not None  # noqa: S101 - a session begins with one
        return identity

    async def on_text(self, text: str) -> None:
        """Answer one message; never raises for what a client can send."""
        client = self._client
        client.traffic.frames_in += 1
        if not self._allowance.take(client.loop.time()):
            client.fail(RateLimited(f"Expected at most {PER_SECOND:.0f} messages a second."))
            return
        message: dict[str, Any] = {}
        try:
            message = parse_message(text)
            op = self._ops.get(message["op"])
            if op is None:
                raise UnknownOp(
                    f"Expected one of {', '.join(self._ops)}, received {shown(message['op'])}."
                )
            await op(message)
        except FocsalError as error:
            client.push(error_frame(error, id=_id(message)))

    def on_binary(self) -> None:
        self._client.traffic.frames_in += 1
        self._client.push(
            error_frame(InvalidFrame("Expected a text frame, received a binary one."))
        )

    async def _auth(self, message: Mapping[str, Any]) -> None:
        raise AlreadyAuthenticated("This socket is authenticated; open another for another key.")

    async def _ping(self, message: Mapping[str, Any]) -> None:
        self._client.push(op_frame("pong", ts=now_iso(), id=_id(message)))

    async def _unsubscribe(self, message: Mapping[str, Any]) -> None:
        for name in channel_names(message):
            subscription = self._client.subscriptions.pop(name, None)
            if subscription is None:
                error = NotSubscribed(f"There is no subscription to {shown(name)}.")
                self._client.push(error_frame(error, channel=name[:80], id=_id(message)))
                continue
            self._hub.unsubscribe(subscription)
            frame = op_frame("unsubscribed", channel=name, seq=subscription.told, id=_id(message))
            self._client.push(frame)

    async def _subscribe(self, message: Mapping[str, Any]) -> None:
        names = channel_names(message)
        if len(names) > 1 and message.get("from_seq") is not None:
            raise InvalidParameter(
                "from_seq: expected one channel, for seqs are each channel's own.",
                param="from_seq",
            )
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(name: str) -> None:
            async with gate:
                await self.subscribe(name, message)

        await asyncio.gather(*(one(name) for name in names))

    async def subscribe(self, name: str, message: Mapping[str, Any]) -> None:
        """One channel; what is wrong with it is said and leaves the others alone."""
        client = self._client
        try:
            wish = wish_of(name, message)
            await begin(client, self._identity, self._hub, wish)
        except FocsalError as error:
            client.push(error_frame(error, channel=name[:80], id=_id(message)))


async def begin(client: Client, identity: Identity, hub: Hub, wish: Wish) -> None:
    """Subscribe a client, in place of what it had on that channel."""
    name = wish.channel.name
    denied = identity.channel_error(wish.channel)
    if denied is not None:
        raise denied
    wish = replace(wish, channel=wish.channel.of_account(identity.account_id))
    before = client.subscriptions.pop(name, None)
    if before is not None:
        hub.unsubscribe(before)
    elif len(client.subscriptions) >= identity.max_subscriptions:
        raise SubscriptionLimit(
            f"The plan allows {identity.max_subscriptions} subscriptions a socket."
        )
    subscription = Subscription(client, wish)
    client.subscriptions[name] = subscription
    try:
        await hub.subscribe(subscription, wish)
    except BaseException:
        hub.unsubscribe(subscription)
        if client.subscriptions.get(name) is subscription:
            del client.subscriptions[name]
        raise


def _id(message: Mapping[str, Any]) -> str | int | None:
    """A client may number its messages; the answer carries the number."""
    given = message.get("id")
    if isinstance(given, str):
        return given[:64]
    return given if isinstance(given, int) and not isinstance(given, bool) else None
