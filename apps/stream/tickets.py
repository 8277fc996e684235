"""One-use tickets: how a browser opens a socket without a key in its address. Valid for 30 seconds."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, Final

import redis
import redis.asyncio as aredis

from apps.core.errors import InvalidApiKey
from apps.core.sealing import seal, unseal

TICKET_S: Final = 30
_PURPOSE: Final = "stream-ticket"
_PREFIX: Final = "focsal:auth:stream:ticket:"


def _key(ticket: str) -> str:
    # Redis never holds what opens a socket.
    return _PREFIX + hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).hexdigest()


def ticket_issue(client: redis.Redis, name: str) -> str:
    """A ticket that stands once for the key (its hash), or for the page (``page_name``)."""
    ticket = "tkt_" + secrets.token_urlsafe(24)
    # Sealed, for a page's name holds its session's key.
    client.set(_key(ticket), seal(name, _PURPOSE), ex=TICKET_S)
    return ticket


async def ticket_redeem(client: aredis.Redis, ticket: str) -> str:
    """The name that it was issued for; raises 401 for a ticket that is unknown, used or over."""
    command: Any = client
    found = await command.getdel(_key(ticket)) if ticket.startswith("tkt_") else None
    name = None if found is None else unseal(found, _PURPOSE)
    if name is None:
        raise InvalidApiKey("This ticket is unknown, was used, or is older than 30 seconds.")
    return name
