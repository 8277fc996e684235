"""Sessions of all web processes, by account: the limit of sockets, and the list an account may see.

Each process holds a short lease in Redis; sessions of a process that was killed end with its lease.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import orjson
import redis
import redis.asyncio as aredis

from apps.core.clock import iso_utc
from apps.stream.client import Client
from apps.stream.identity import Identity

PREFIX: Final = "focsal:auth:stream:"
LEASE_MS: Final = 5000
_LEASES: Final = f"{PREFIX}process:"
_ENTER_LUA: Final = (Path(__file__).parent / "lua" / "enter.lua").read_text(encoding="utf-8")


def sessions_key(account_id: int) -> str:
    return f"{PREFIX}sessions:{account_id}"


def document_of(client: Client, identity: Identity) -> dict[str, Any]:
    """What an account sees of one of its sessions."""
    return {
        "id": client.id,
        "transport": client.transport,
        "key_id": identity.key_id,
        "connected_at": iso_utc(int(client.connected_s * 1000)),
        "subscriptions": sorted(client.subscriptions),
        "frames_sent": client.outlet.sent,
        "frames_received": client.traffic.frames_in,
    }


class Sessions:
    """Of one process, on its event loop's client."""

    def __init__(self, client: aredis.Redis) -> None:
        self._client: Any = client
        self.process = os.urandom(8).hex()

    async def renew_lease(self) -> None:
        await self._client.set(_LEASES + self.process, b"1", px=LEASE_MS)

    async def enter(self, client: Client, identity: Identity) -> bool:
        """False when the account has as many sessions as its plan allows."""
        document = orjson.dumps(document_of(client, identity))
        arguments = (client.id, self.process, document, identity.max_sockets, _LEASES)
        key = sessions_key(identity.account_id)
        return bool(await self._client.eval(_ENTER_LUA, 1, key, *arguments))

    async def update(self, clients: list[tuple[Client, Identity]]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for client, identity in clients:
            value = f"{self.process}|".encode() + orjson.dumps(document_of(client, identity))
            pipeline.hset(sessions_key(identity.account_id), client.id, value)
        await pipeline.execute()

    async def leave(self, client_id: str, account_id: int) -> None:
        await self._client.hdel(sessions_key(account_id), client_id)

    async def end(self) -> None:
        await self._client.delete(_LEASES + self.process)


def sessions_of(client: redis.Redis, account_id: int) -> list[dict[str, Any]]:
    """The account's open sessions, oldest first; blocking."""
    entries: Any = client.hgetall(sessions_key(account_id))
    found: list[dict[str, Any]] = []
    alive: dict[bytes, bool] = {}
    for value in entries.values():
        process, _, document = value.partition(b"|")
        if process not in alive:
            alive[process] = bool(client.exists(_LEASES.encode() + process))
        if alive[process]:
            found.append(orjson.loads(document))
    return sorted(found, key=lambda one: (one["connected_at"], one["id"]))
