"""One-use tickets: how a browser opens a socket without a key in its address. Valid for 30 seconds."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, Final

import redis
import redis.asyncio as aredis

from apps.core.errors import InvalidApiKey

TICKET_S: Final = 30
_PREFIX: Final = "focsal:auth:stream:ticket:"


def _key(ticket: str) -> str:
    # Redis never holds what opens a socket.
    return _PREFIX + hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).hexdigest()


def ticket_issue(client: redis.Redis, key_hash: str) -> str:
    """A ticket that stands once for the key, or for the page (``page_name``)."""
    ticket = "tkt_" + secrets.token_urlsafe(24)
    client.set(_key(ticket), key_hash, ex=TICKET_S)
    return ticket


async def ticket_redeem(client: aredis.Redis, ticket: str) -> str:
    """The key's hash; raises 401 for a ticket that is unknown, used or over."""
    command: Any = client
    found = await command.getdel(_key(ticket)) if ticket.startswith("tkt_") else None
    if found is None:
        raise InvalidApiKey("This ticket is unknown, was used, or is older than 30 seconds.")
    return str(found.decode())
