"""Embedded PostgreSQL and Redis under a real supervisord, as whoever runs the tests."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from focsal.launcher import embedded, layout, leftovers, postgres, redis_server
from focsal.launcher.binaries import find_redis
from focsal.launcher.control import Supervisor
from focsal.launcher.embedded import EmbeddedServers
from focsal.launcher.errors import LauncherError
from focsal.launcher.ports import free_port
from focsal.launcher.programs import MARKER

INSTANCE = "launcher-test"


def _until(condition: Callable[[], bool], timeout_s: float = 40.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short and passable for PostgreSQL's user, which pytest's private folders are not."""
    path = Path(tempfile.mkdtemp(prefix="focsal-test-"))
    path.chmod(0o711)
    if not layout.others_can_enter(path) and os.getuid() == 0:
        shutil.rmtree(path)
        layout.open_external(layout.EXTERNAL_ROOT / "tmp")
        path = Path(tempfile.mkdtemp(prefix="focsal-test-", dir=layout.EXTERNAL_ROOT / "tmp"))
        path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def servers(folder: Path) -> EmbeddedServers:
    files = embedded.postgres_files(layout.PROJECT)
    database = postgres.PostgresServer(
        files.binaries, folder / "pg", free_port(), "pa55word", files.user, durable=False
    )
    store = redis_server.RedisServer(
        find_redis(),
        folder / "redis",
        folder / "redis.conf",
        free_port(taken=frozenset({database.port})),
        "pa55word",
    )
    database.prepare()
    store.prepare()
    return EmbeddedServers(database, store)


def _supervisor(folder: Path, servers: EmbeddedServers) -> Supervisor:
    (folder / "log").mkdir()
    (folder / "run").mkdir()
    return Supervisor(
        servers.programs(),
        logs=folder / "log",
        runtime=folder / "run",
        password="control",
        environment={**os.environ, MARKER: INSTANCE, "SECRET_KEY": "not for PostgreSQL"},
    )


def _pid(supervisor: Supervisor, name: str) -> int:
    return supervisor.processes()[name].pid


def test_killed_servers_come_back_and_a_stop_leaves_nothing(
    folder: Path, servers: EmbeddedServers
) -> None:
    assert servers.postgres is not None
    assert servers.redis is not None
    url, redis_url = servers.postgres.url("focsal"), servers.redis.url
    supervisor = _supervisor(folder, servers)
    said: list[str] = []
    supervisor.start()
    try:
        supervisor.launch("postgres", "redis")
        _until(lambda: postgres.answers(url) and redis_server.answers(redis_url))

        postgres.ensure_database(url)
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == ("focsal",)
        with redis.Redis.from_url(redis_url) as client:
            assert client.ping()
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        with pytest.raises(LauncherError, match="cannot use database"):
            postgres.ensure_database(url.replace("pa55word", "wrong"))

        first = {name: _pid(supervisor, name) for name in ("postgres", "redis")}
        secret = Path(f"/proc/{first['postgres']}/environ")
        if secret.exists():
            assert b"SECRET_KEY" not in secret.read_bytes()
        if os.getuid() == 0:
            assert Path(f"/proc/{first['postgres']}").stat().st_uid != 0
        for pid in first.values():
            os.kill(pid, signal.SIGKILL)
        _until(lambda: all(_pid(supervisor, name) not in (0, pid) for name, pid in first.items()))
        _until(lambda: postgres.answers(url) and redis_server.answers(redis_url))
    finally:
        supervisor.stop(said.append)
    assert said == ["FOCSAL: stopping redis", "FOCSAL: stopping postgres"]
    assert leftovers.marked(INSTANCE) == []
    assert not (folder / "pg" / "postmaster.pid").exists()


def test_a_killed_supervisor_takes_its_servers_with_it(
    folder: Path, servers: EmbeddedServers
) -> None:
    assert servers.redis is not None
    redis_url = servers.redis.url
    supervisor = _supervisor(folder, servers)
    supervisor.start()
    try:
        supervisor.launch("redis")
        _until(lambda: redis_server.answers(redis_url))
        os.kill(int((folder / "run" / "supervisord.pid").read_text()), signal.SIGKILL)
    finally:
        supervisor.stop(lambda _line: None)
    assert leftovers.marked(INSTANCE) == []
    assert not redis_server.answers(redis_url)


def test_a_lost_password_is_set_anew(folder: Path, servers: EmbeddedServers) -> None:
    before = servers.postgres
    assert before is not None
    after = postgres.PostgresServer(
        before.binaries, before.data, before.port, "another", before.user, durable=False
    )
    after.prepare()
    after.reset_password()
    supervisor = _supervisor(folder, EmbeddedServers(after, None))
    supervisor.start()
    try:
        supervisor.launch("postgres")
        _until(lambda: postgres.answers(after.url("focsal")))
        assert not postgres.answers(before.url("focsal"))
    finally:
        supervisor.stop(lambda _line: None)


def test_data_of_another_major_version_is_refused(folder: Path, servers: EmbeddedServers) -> None:
    assert servers.postgres is not None
    (servers.postgres.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(LauncherError, match="was written by PostgreSQL 9"):
        servers.postgres.prepare()
