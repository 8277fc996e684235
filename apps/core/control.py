"""Telling every web process that something changed for an account: over the channel layer, nothing else is.

Keys and accounts are those of every market, so the layer's prefix carries no market.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

CONTROL_GROUP: Final = "control"


def control_message(event: str, account_id: int, **fields: Any) -> dict[str, Any]:
    return {"type": "control", "event": event, "account_id": account_id, **fields}


def control_send(
    event: str, *, account_id: int, key_ids: Sequence[int] = (), session_id: str = ""
) -> None:
    """From blocking code. A message is a hint: what holds is in the key's record. Raises ``RedisError``
    or ``OSError`` when Redis is away."""
    message = control_message(event, account_id, key_ids=list(key_ids), session_id=session_id)
    async_to_sync(get_channel_layer().group_send)(CONTROL_GROUP, message)
