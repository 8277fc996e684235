"""The feed's Lua scripts, each bound to the Redis process that runs it.

The process' run id is part of the source, so that its digest is another after a restart: ``EVALSHA`` then
fails with NOSCRIPT, the loader asks for the new run id, and the channel begins a new epoch. They are
loaded with an ``EVAL`` without keys, which does nothing: ``SCRIPT LOAD`` would write them to the
append-only file, and a restarted Redis would know the old ones.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Final

import redis
import redis.asyncio as aredis

_LUA: Final = Path(__file__).parent / "lua"
_PRELUDE: Final = (_LUA / "epoch.lua").read_text(encoding="utf-8")
_BODIES: Final = {
    name: (_LUA / f"{name}.lua").read_text(encoding="utf-8") for name in ("append", "open")
}
_RUN_ID: Final = re.compile(r"[0-9a-f]{40}\Z")
UNBOUND: Final = "0" * 40
"""A digest that no script has: the first call is answered NOSCRIPT and loads."""


def bound_source(name: str, run_id: str) -> str:
    if _RUN_ID.match(run_id) is None:
        raise ValueError(f"expected a Redis run id of 40 hex digits, got {run_id!r}")
    load = "if #KEYS == 0 then return 1 end"
    return f'local RUN = "{run_id}"\n{load}\n{_PRELUDE}\n{_BODIES[name]}'


def digest_of(source: str) -> str:
    return hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


def run_id_of(info: Any) -> str:
    return str(info["run_id"])


def is_forgotten(reply: object) -> bool:
    return isinstance(reply, redis.exceptions.NoScriptError)


class Scripts:
    """Digests by name for one client; ``load`` after a NOSCRIPT."""

    def __init__(self) -> None:
        self.digests: dict[str, str] = dict.fromkeys(_BODIES, UNBOUND)

    def load(self, client: redis.Redis) -> None:
        run_id = run_id_of(client.info("server"))
        for name in _BODIES:
            source = bound_source(name, run_id)
            client.eval(source, 0)
            self.digests[name] = digest_of(source)

    async def load_async(self, client: aredis.Redis) -> None:
        run_id = run_id_of(await client.info("server"))
        command: Any = client
        for name in _BODIES:
            source = bound_source(name, run_id)
            await command.eval(source, 0)
            self.digests[name] = digest_of(source)
