"""``test``, ``bench``, ``soak``, ``servers``: commands on servers that are thrown away."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence

from focsal.launcher import environment, steps
from focsal.launcher.console import StopSignal, say, warn
from focsal.launcher.ephemeral import servers
from focsal.launcher.layout import PROJECT
from focsal.launcher.ports import free_port
from focsal.launcher.postgres import ensure_database


def test(arguments: Sequence[str], stop: StopSignal) -> int:
    with _environment("test", stop, durable=False) as variables:
        return _run([sys.executable, "-m", "pytest", *arguments], variables, stop)


def bench(arguments: Sequence[str], stop: StopSignal) -> int:
    return _package("tests.bench", arguments, stop)


def soak(arguments: Sequence[str], stop: StopSignal) -> int:
    return _package("tests.soak", arguments, stop)


def keep_servers(stop: StopSignal) -> int:
    """Keep PostgreSQL and Redis up for a developer until Ctrl-C."""
    with _environment("test", stop, durable=False) as variables:
        ensure_database(variables["DATABASE_URL"])
        ensure_database(variables["MARKET_DATABASE_URL"])
        for name in ("FOCSAL_ENV", "FOCSAL_MARKET", "DATABASE_URL", "MARKET_DATABASE_URL"):
            say(f"export {name}={variables[name]}")
        say(f"export REDIS_URL={variables['REDIS_URL']}")
        say("# Ctrl-C stops the servers and removes their data")
        while not stop.wait(3600):
            pass
    return 0


def _package(name: str, arguments: Sequence[str], stop: StopSignal) -> int:
    if importlib.util.find_spec(name) is None:
        warn(f"FOCSAL: there is no {name} yet, nothing to run")
        return 1
    with _environment("development", stop, durable=True) as variables:
        for url in (variables["DATABASE_URL"], variables["MARKET_DATABASE_URL"]):
            ensure_database(url)
        steps.databases("none", PROJECT, variables, stop)
        (PROJECT / "var").mkdir(exist_ok=True)
        return _run([sys.executable, "-m", name, *arguments], variables, stop)


@contextlib.contextmanager
def _environment(kind: str, stop: StopSignal, *, durable: bool) -> Iterator[dict[str, str]]:
    """The environment for ``kind`` (FOCSAL_ENV), with servers behind it."""
    # Whatever market the shell is set to: tests never touch the live one, nor wait for a replay.
    given = {
        name: text for name, text in os.environ.items() if not name.startswith("FOCSAL_REPLAY")
    }
    instance = secrets.token_hex(8)
    say("FOCSAL: starting PostgreSQL and Redis for this run")
    with servers(PROJECT, given, instance, stop, durable=durable) as found:
        yield environment.common(
            given,
            project=PROJECT,
            kind=kind,
            market="sandbox",
            where=environment.addresses(given, "sandbox", found.addresses()),
            instance=instance,
            secret_key=secrets.token_urlsafe(48),
            sandbox_port=free_port(block=environment.SANDBOX_BLOCK),
        )


def _run(command: list[str], variables: dict[str, str], stop: StopSignal) -> int:
    """Run in the foreground; its exit code, 128 + n after signal n as shells say it."""
    process = subprocess.Popen(command, cwd=PROJECT, env=variables)
    terminated = False
    while True:
        try:
            code = process.wait(timeout=0.2)
            return code if code >= 0 else 128 - code
        except subprocess.TimeoutExpired:
            pass
        if stop.requested and not terminated:
            # Ctrl-C reached it too and lets it sum up; SIGTERM came to us alone.
            terminated = True
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            if process.poll() is None:
                process.terminate()
