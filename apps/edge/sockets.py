"""WebSocket addresses that are none of ours answer politely.

A refusal accepts first, says why in one frame and then closes, so that a client reads a reason and not
only a failed handshake. 4404 is our close code for "nothing here", beside 4401, 4403, 4408 and 4429.
"""

from __future__ import annotations

from typing import Final

from apps.core.jsonout import dumps
from apps.edge.asgi_types import Receive, Scope, Send

CLOSE_NOT_FOUND: Final = 4404
_FRAME: Final = dumps(
    {
        "op": "error",
        "code": "not_found",
        "detail": "No WebSocket at this address; streams are at /v1/ws.",
    }
).decode()


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    message = await receive()
    if message["type"] != "websocket.connect":
        return
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": _FRAME})
    await send({"type": "websocket.close", "code": CLOSE_NOT_FOUND, "reason": "not_found"})
