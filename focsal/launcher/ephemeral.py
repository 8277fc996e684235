"""Servers that are thrown away: for tests, benchmarks, and developers."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from focsal.launcher import layout, leftovers, postgres, redis_server
from focsal.launcher.binaries import find_redis
from focsal.launcher.console import StopSignal
from focsal.launcher.control import tail
from focsal.launcher.embedded import EmbeddedServers, PostgresFiles, postgres_files
from focsal.launcher.errors import LauncherError
from focsal.launcher.ports import free_port
from focsal.launcher.programs import MARKER, Program

_START_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 20.0


@contextlib.contextmanager
def servers(
    project: Path, given: Mapping[str, str], instance: str, stop: StopSignal, *, durable: bool
) -> Iterator[EmbeddedServers]:
    """Start what ``given`` has no address for in a temporary folder; stop and remove it after."""
    with contextlib.ExitStack() as cleanup:
        files = None if given.get("DATABASE_URL") else postgres_files(project)
        folder = _temporary_folder(files)
        cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        found = _servers(folder, files, given, durable=durable)
        cleanup.callback(_sweep, instance)
        for program in found.programs():
            cleanup.enter_context(_running(program, folder, instance))
        _wait(found, folder, stop)
        yield found


def _sweep(instance: str) -> None:
    leftovers.end(leftovers.marked(instance), grace_s=5)


def _temporary_folder(files: PostgresFiles | None) -> Path:
    """A folder of our own that PostgreSQL's user can pass through."""
    folder = Path(tempfile.mkdtemp(prefix="focsal-"))
    if files is None or files.user is None:
        return folder
    if not layout.others_can_enter(folder.parent):
        folder.rmdir()
        layout.open_external(layout.EXTERNAL_ROOT / "tmp")
        folder = Path(tempfile.mkdtemp(prefix="focsal-", dir=layout.EXTERNAL_ROOT / "tmp"))
    folder.chmod(0o711)
    return folder


def _servers(
    folder: Path, files: PostgresFiles | None, given: Mapping[str, str], *, durable: bool
) -> EmbeddedServers:
    database = redis = None
    if files is not None:
        database = postgres.PostgresServer(
            files.binaries,
            folder / "postgres",
            free_port(),
            secrets.token_urlsafe(16),
            files.user,
            durable=durable,
        )
        database.prepare()
    if not given.get("REDIS_URL"):
        taken = frozenset({database.port} if database else ())
        redis = redis_server.RedisServer(
            find_redis(),
            folder / "redis",
            folder / "redis.conf",
            free_port(taken=taken),
            secrets.token_urlsafe(16),
            durable=durable,
        )
        redis.prepare()
    return EmbeddedServers(database, redis)


@contextlib.contextmanager
def _running(program: Program, folder: Path, instance: str) -> Iterator[None]:
    with (folder / f"{program.name}.log").open("wb") as log:
        process = subprocess.Popen(
            program.command(),
            cwd=program.directory if program.user is None else "/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, MARKER: instance},
            # Ctrl-C must not take the servers away before the tests that use them.
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.send_signal(signal.Signals[f"SIG{program.stop_signal}"])
        try:
            process.wait(timeout=_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(found: EmbeddedServers, folder: Path, stop: StopSignal) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S

    def up(name: str, answers: bool) -> bool:
        if answers:
            return True
        if time.monotonic() > deadline:
            raise LauncherError(f"{name} did not start:\n{tail(folder / f'{name}.log')}")
        stop.wait(0.1)
        stop.check()
        return False

    if found.postgres is not None:
        while not up("postgres", postgres.answers(found.postgres.url("postgres"))):
            pass
    if found.redis is not None:
        while not up("redis", redis_server.answers(found.redis.url)):
            pass
