"""The embedded PostgreSQL: making its data folder, its command line, its databases."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg
from psycopg import sql

from focsal.launcher.errors import LauncherError
from focsal.launcher.layout import ServerUser, own_folder
from focsal.launcher.ports import LOOPBACK
from focsal.launcher.programs import Program, bare_environment
from focsal.launcher.state import write_private

SUPERUSER: Final = "focsal"
_SETTINGS: Final = {
    "listen_addresses": LOOPBACK,
    # No unix socket: its path may hold 107 bytes only, and a clone may lie deeper.
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "max_connections": "200",
    "work_mem": "16MB",
    "maintenance_work_mem": "64MB",
    "effective_cache_size": "1GB",
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    "jit": "off",
    # Parallel plans need room in /dev/shm, of which containers have little.
    "max_parallel_workers_per_gather": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # Values of failing statements may be secrets.
    "log_parameter_max_length_on_error": "0",
}
# For databases that are thrown away.
_CARELESS: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """One data folder and the server on it. ``user`` owns the data when we are root."""

    binaries: Path
    data: Path
    port: int
    password: str
    user: ServerUser | None = None
    durable: bool = True

    @property
    def is_initialised(self) -> bool:
        return (self.data / "PG_VERSION").is_file()

    def url(self, database: str) -> str:
        return f"postgres://{SUPERUSER}:{self.password}@{LOOPBACK}:{self.port}/{database}"

    def program(self) -> Program:
        settings = {**_SETTINGS, "port": str(self.port), **({} if self.durable else _CARELESS)}
        argv = [str(self.binaries / "postgres"), "-D", str(self.data)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        # SIGINT is PostgreSQL's fast stop; SIGTERM would wait for every client to leave.
        return Program("postgres", argv, self.data, stop_signal="INT", user=self.user, bare=True)

    def prepare(self) -> None:
        """Create the data folder, or check that the one that is there fits."""
        if self.is_initialised:
            self._check_version()
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            return
        draft = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        own_folder(draft, self.user)
        password_file = self.data.with_name(f"{self.data.name}.password")
        write_private(password_file, self.password)
        if self.user is not None:
            shutil.chown(password_file, self.user.uid, self.user.gid)
        try:
            self._initdb(draft, password_file)
        finally:
            password_file.unlink()
        # Renamed only when complete: an interrupted initdb is never taken for data.
        draft.rename(self.data)

    def reset_password(self) -> None:
        """Set the role's password without knowing the old one (the server is not running)."""
        statement = f"ALTER ROLE {SUPERUSER} PASSWORD '{self.password}'\n"
        self._run(["postgres", "--single", "-D", str(self.data), "postgres"], statement)

    def _initdb(self, folder: Path, password_file: Path) -> None:
        options = [
            "--auth=scram-sha-256",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--encoding=UTF8",
            # Sorts the same on every machine, whatever locales it has.
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        ]
        if not self.durable:
            options.append("--no-sync")
        self._run(["initdb", "-D", str(folder), *options])

    def _run(self, command: list[str], text: str = "") -> None:
        program = str(self.binaries / command[0])
        identity: dict[str, Any] = {}
        if self.user is not None:
            identity = {"user": self.user.uid, "group": self.user.gid, "extra_groups": []}
        done = subprocess.run(
            [program, *command[1:]],
            input=text,
            capture_output=True,
            text=True,
            cwd="/",
            env=bare_environment(),
            # Ctrl-C is for the launcher to act on, not for initdb.
            start_new_session=True,
            check=False,
            **identity,
        )
        if done.returncode != 0:
            raise LauncherError(f"{command[0]} failed:\n{(done.stderr or done.stdout).strip()}")

    def _check_version(self) -> None:
        have = (self.data / "PG_VERSION").read_text().strip()
        shown = subprocess.run(
            [self.binaries / "postgres", "--version"], capture_output=True, text=True, check=True
        ).stdout
        version = shown.split()[-1]
        if version.split(".")[0] != have:
            raise LauncherError(
                f"{self.data} was written by PostgreSQL {have}, installed is {version}: "
                "dump it with the old one, or remove the folder to start afresh"
            )


def connection_parameters(url: str) -> dict[str, Any]:
    """libpq's parameters of a ``postgres://`` URL; Django's own options in its query are left."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql", "pgsql"} or not parts.path.strip("/"):
        raise LauncherError("expected a database URL postgres://user:password@host:port/name")
    parameters: dict[str, Any] = {
        "host": parts.hostname,
        "port": parts.port or 5432,
        "user": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "dbname": unquote(parts.path.strip("/")),
        "connect_timeout": 5,
    }
    for name, values in parse_qs(parts.query).items():
        if name.startswith("ssl"):
            parameters[name] = values[-1]
    return {name: value for name, value in parameters.items() if value is not None}


def answers(url: str) -> bool:
    """Whether the server behind ``url`` accepts connections and runs a statement."""
    parameters = {**connection_parameters(url), "dbname": "postgres"}
    try:
        with psycopg.connect(**parameters) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def ensure_database(url: str) -> None:
    """Create the database of ``url`` when it is missing."""
    parameters = connection_parameters(url)
    name = parameters["dbname"]
    place = f"{parameters.get('host', 'localhost')}:{parameters['port']}"
    try:
        with psycopg.connect(**parameters):
            return
    except psycopg.OperationalError as error:
        refusal = error
    try:
        with psycopg.connect(**{**parameters, "dbname": "postgres"}, autocommit=True) as admin:
            if _exists(admin, name):
                raise LauncherError(f"cannot use database {name} on {place}: {refusal}")
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg.errors.DuplicateDatabase:
        return
    except psycopg.Error as error:
        raise LauncherError(
            f"cannot use database {name} on {place} ({refusal}), nor create it ({error})"
        ) from None


def _exists(admin: psycopg.Connection[Any], name: str) -> bool:
    found = admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
    return found.fetchone() is not None


def market_url(url: str, market: str) -> str:
    """The market's database beside the default one, named as the settings name it."""
    base, _, query = url.partition("?")
    return f"{base}_{market}" + (f"?{query}" if query else "")
