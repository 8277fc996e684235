"""What happens to accounts while their sockets are open: told over the channel layer, checked by record."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from channels.layers import get_channel_layer

from apps.core.control import CONTROL_GROUP
from apps.core.errors import FocsalError, SessionClosed, StreamUnavailable
from apps.core.logs import get_logger
from apps.core.outages import Outage
from apps.feed.ending import is_ending
from apps.stream.client import Client
from apps.stream.identity import Identity

if TYPE_CHECKING:
    from apps.stream.service import StreamService

_log = get_logger(__name__)
_RETRY_S: Final = 1.0
QUOTA_SUSPENDED: Final = "quota_suspended"
CLOSE_SESSION: Final = "close_session"


class ControlListener:
    """Of one process."""

    def __init__(self, service: StreamService) -> None:
        self._service = service
        self._outage = Outage(_log, "stream_control_waits")

    async def run(self) -> None:
        """Listen until cancelled. What a lost connection swallowed is found by ``verify_all``."""
        while not is_ending():
            try:
                await self._listen()
            except Exception as error:
                self._outage.failed(error)
                await asyncio.sleep(_RETRY_S)

    async def stop(self) -> None:
        """End the layer's own receiving task."""
        layer: Any = get_channel_layer()
        await layer.flush()

    async def _listen(self) -> None:
        layer: Any = get_channel_layer()
        channel = await layer.new_channel()
        await layer.group_add(CONTROL_GROUP, channel)
        self._outage.over()
        while True:
            await self.on_message(await layer.receive(channel))

    async def on_message(self, message: Mapping[str, Any]) -> None:
        account_id = message.get("account_id")
        concerned = [
            client
            for client in self._service.clients.values()
            if client.identity is not None and client.identity.account_id == account_id
        ]
        if not concerned:
            return
        event = message.get("event")
        if event == CLOSE_SESSION:
            wanted = message.get("session_id") or ""
            for client in concerned:
                if wanted in ("", client.id):
                    self._service.close(client, SessionClosed("Closed at the account's request."))
        elif event == QUOTA_SUSPENDED:
            await self.verify_quotas()
        else:
            await self.verify(concerned)

    async def verify_quotas(self) -> None:
        """End the sockets of accounts that have used up their quota by calls."""
        clients = [one for one in self._service.clients.values() if one.identity is not None]
        found = await self._service.authenticator.quota_errors(
            one.identity for one in clients if one.identity is not None
        )
        for client in clients if found else ():
            identity = client.identity
            if identity is not None and not identity.is_page and identity.account_id in found:
                self._service.close(client, found[identity.account_id])

    async def verify_all(self) -> None:
        await self.verify(self._service.clients.values())

    async def verify(self, clients: Iterable[Client]) -> None:
        """Compare sessions with their keys' records: close those that may not go on."""
        groups: dict[tuple[str, str], list[Client]] = {}
        for client in clients:
            if client.identity is not None:
                groups.setdefault((client.identity.key_hash, client.address), []).append(client)
        for (key_hash, address), group in groups.items():
            try:
                identity = await self._service.authenticator.by_hash(key_hash, address)
            except StreamUnavailable:
                continue
            except FocsalError as error:
                for client in group:
                    self._service.close(client, error)
                continue
            for client in group:
                self._adopt(client, identity)

    def _adopt(self, client: Client, identity: Identity) -> None:
        """Go on with what the record now says; a channel that was lost with a tier ends the socket."""
        client.identity = identity
        for subscription in client.subscriptions.values():
            denied = identity.channel_error(subscription.channel)
            if denied is not None:
                self._service.close(client, denied)
                return
