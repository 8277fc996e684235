"""Signed webhooks from the double to the platform: in order, again until they are taken."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Final

import aiohttp

from apps.billing.double.state import Object

_WAITS_S: Final = (0.5, 1, 2, 4, 8, 15, 30)
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)


def signature(body: bytes, secret: str, now_s: int) -> str:
    """The ``Stripe-Signature`` header of a body."""
    digest = hmac.new(secret.encode(), f"{now_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={now_s},v1={digest}"


class Courier:
    """One queue, one event after the other. A platform that is away gets its events when it is back."""

    def __init__(self, address: str, secret: str, on_delivered: Callable[[Object], None]) -> None:
        self._address, self._secret, self._on_delivered = address, secret, on_delivered
        self._queue: asyncio.Queue[Object] = asyncio.Queue()

    def emit(self, event: Object) -> None:
        self._queue.put_nowait(event)

    async def run(self) -> None:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as client:
            while True:
                event = await self._queue.get()
                attempt = 0
                while not await self._send(client, event):
                    await asyncio.sleep(_WAITS_S[min(attempt, len(_WAITS_S) - 1)])
                    attempt += 1
                self._on_delivered(event)

    async def _send(self, client: aiohttp.ClientSession, event: Object) -> bool:
        body = json.dumps(event).encode()
        headers = {
            "Content-Type": "application/json",
            "Stripe-Signature": signature(body, self._secret, int(time.time())),
        }
        try:
            async with client.post(self._address, data=body, headers=headers) as answer:
                return answer.status < 300
        except (aiohttp.ClientError, TimeoutError):
            return False
