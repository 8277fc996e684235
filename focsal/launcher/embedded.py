"""The embedded servers of an installation: which are needed, where they lie."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from focsal.launcher import layout
from focsal.launcher.binaries import copy_postgres, find_postgres, find_redis
from focsal.launcher.console import say
from focsal.launcher.environment import Addresses
from focsal.launcher.layout import Placement, ServerUser
from focsal.launcher.ports import free_port
from focsal.launcher.postgres import PostgresServer
from focsal.launcher.programs import Program
from focsal.launcher.redis_server import RedisServer
from focsal.launcher.state import State


@dataclass(frozen=True, slots=True)
class PostgresFiles:
    """PostgreSQL's programs, the folder for its data, and whose both are."""

    binaries: Path
    folder: Path
    user: ServerUser | None


@dataclass(frozen=True, slots=True)
class EmbeddedServers:
    """PostgreSQL and Redis of our own; None where an address was given instead."""

    postgres: PostgresServer | None
    redis: RedisServer | None

    def programs(self) -> list[Program]:
        return [server.program() for server in (self.postgres, self.redis) if server is not None]

    def addresses(self) -> Addresses:
        return Addresses(
            self.postgres.url("focsal") if self.postgres else "",
            "",
            self.redis.url if self.redis else "",
        )


def postgres_files(project: Path, *, inside: str = "var") -> PostgresFiles:
    """Find PostgreSQL and copy it to where its user can run it, if need be."""
    installed = find_postgres()
    place: Placement = layout.place(
        project, installed / "postgres", os.getuid(), layout.unprivileged_user, inside=inside
    )
    if not place.copy_binaries:
        return PostgresFiles(installed, place.folder, place.user)
    layout.open_external(place.folder)
    return PostgresFiles(copy_postgres(installed, place.folder), place.folder, place.user)


def lasting(
    project: Path, given: Mapping[str, str], state: State, *, state_is_new: bool
) -> EmbeddedServers:
    """The servers of ``make run``, prepared: durable, on data that stays."""
    postgres = redis = None
    if not given.get("DATABASE_URL"):
        postgres = _lasting_postgres(project, state, state_is_new=state_is_new)
    if not given.get("REDIS_URL"):
        folders = layout.Folders.of(project)
        redis = RedisServer(
            find_redis(),
            folders.redis,
            folders.runtime / "redis.conf",
            keep_port(state, "redis"),
            state.redis_password,
        )
        redis.prepare()
    return EmbeddedServers(postgres, redis)


def keep_port(state: State, name: str, block: int = 1) -> int:
    """The port ``name`` had last time, or a new one when somebody else listens there now."""
    others = frozenset(port for key, port in state.ports.items() if key != name)
    state.ports[name] = free_port(state.ports.get(name), block=block, taken=others)
    return state.ports[name]


def _lasting_postgres(project: Path, state: State, *, state_is_new: bool) -> PostgresServer:
    files = postgres_files(project)
    outside = files.folder != project / "var"
    server = PostgresServer(
        files.binaries,
        files.folder / "postgres",
        keep_port(state, "postgres"),
        state.postgres_password,
        files.user,
    )
    if server.is_initialised and state_is_new:
        if outside:
            # Data of a clone that was deleted: var/ is what says that an installation exists.
            say(f"FOCSAL: var/ is new, removing the data of an earlier clone in {server.data}")
            shutil.rmtree(server.data)
        else:
            server.prepare()
            server.reset_password()
    if not server.is_initialised:
        say("FOCSAL: creating the PostgreSQL data folder")
    server.prepare()
    return server
