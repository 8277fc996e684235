"""Admission over the edge's own Redis connection, and the completions that go back over it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from apps.edge.commands import pack_admission
from apps.edge.redis_pipe import RedisAway, RedisBusy, RedisPipe, RedisRefused, Script, pack
from apps.tiers import gate
from apps.tiers.admission import Admission, AdmissionRequest
from apps.tiers.limits import ADMIT_LUA, COMPLETIONS_STREAM, decode

ADMIT_SCRIPT: Final = Script(ADMIT_LUA)
MAX_DECIDING: Final = 1024
Ask = Callable[[AdmissionRequest], Awaitable[Admission]]


class Door:
    """Asks the limiter; the gate's rules (load a key, rebuild, fall back) stay the gate's."""

    def __init__(self, pipe: RedisPipe) -> None:
        self._pipe = pipe
        self._deciding = 0

    async def run(self, command: bytes) -> list[bytes]:
        """The script's raw answer to an encoded command; reloads a script that Redis has forgotten."""
        try:
            reply: list[bytes] = await self._pipe.send(command)
        except RedisRefused as exc:
            if not str(exc).startswith("NOSCRIPT"):
                raise
            await self._pipe.call("SCRIPT", "LOAD", ADMIT_SCRIPT.source)
            reply = await self._pipe.send(command)
        return reply

    async def admit(self, request: AdmissionRequest) -> Admission:
        return await self._decide(request, self._ask)

    async def _decide(self, request: AdmissionRequest, ask: Ask) -> Admission:
        """The gate may wait for a thread and PostgreSQL, so how many do is bounded."""
        if self._deciding >= MAX_DECIDING:
            raise RedisBusy(f"{MAX_DECIDING} requests wait for their admission already")
        self._deciding += 1
        try:
            return await gate.admit_async(request, ask)
        finally:
            self._deciding -= 1

    async def settle(self, request: AdmissionRequest, reply: list[bytes] | RedisAway) -> Admission:
        """Finish what a first question began: ``reply`` is its raw answer or its failure."""
        first: list[bytes] | RedisAway | None = reply

        async def ask(asked: AdmissionRequest) -> Admission:
            nonlocal first
            given, first = first, None
            if isinstance(given, RedisAway):
                raise given
            return await self._ask(asked) if given is None else decode(given, asked.layer)

        return await self._decide(request, ask)

    async def _ask(self, request: AdmissionRequest) -> Admission:
        return decode(await self.run(pack_admission(request)), request.layer)

    @staticmethod
    def decoded(reply: list[bytes], layer: str | None) -> Admission:
        return decode(reply, layer)

    async def send_completions(self, batch: Sequence[str]) -> None:
        """One transaction, so that a broken connection cannot leave half of it behind."""
        await self._pipe.transaction(
            [pack("XADD", COMPLETIONS_STREAM, "*", "c", text) for text in batch]
        )
