"""A command typed beside ``make run`` meets what it started, and nothing else."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from focsal.shell import PROJECT, adopt, file_of, keep

RUNNING = {
    "FOCSAL_ENV": "development",
    "FOCSAL_SANDBOX_PORT": "19000",
    "SECRET_KEY": "s" * 40,
    "DATABASE_URL": "postgres://somewhere/focsal",
    "MARKET_DATABASE_URL": "postgres://somewhere/focsal_sandbox",
    "REDIS_URL": "redis://somewhere/0",
    "PATH": "/elsewhere",
    "LANG": "C",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    file_of(tmp_path).parent.mkdir(parents=True)
    keep(RUNNING, file_of(tmp_path))
    return tmp_path


def test_a_bare_shell_takes_over_what_runs(project: Path) -> None:
    environ = {"PATH": "/bin"}
    adopt(environ, ["sandbox", "scenarios"], project)
    assert environ.pop("PATH") == "/bin"
    assert environ == {name: text for name, text in RUNNING.items() if name not in ("PATH", "LANG")}


@pytest.mark.parametrize("name", ["FOCSAL_ENV", "SECRET_KEY", "DATABASE_URL", "FOCSAL_MARKET"])
def test_a_shell_that_names_a_deployment_is_left_alone(project: Path, name: str) -> None:
    environ = {name: "own"}
    adopt(environ, ["migrate"], project)
    assert environ == {name: "own"}


def test_what_the_shell_says_itself_stays(project: Path) -> None:
    environ = {"REDIS_URL": "redis://own/0"}
    adopt(environ, ["migrate"], project)
    assert environ["REDIS_URL"] == "redis://own/0"
    assert environ["DATABASE_URL"] == RUNNING["DATABASE_URL"]


def test_where_nothing_ever_ran_only_the_emulator_stands_alone(tmp_path: Path) -> None:
    for command, expected in (("sandbox", {"FOCSAL_ENV": "development"}), ("migrate", {})):
        environ: dict[str, str] = {}
        adopt(environ, [command], tmp_path)
        assert environ == expected


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_broken_file_is_no_file(project: Path, text: str) -> None:
    file_of(project).write_text(text)
    environ: dict[str, str] = {}
    adopt(environ, ["migrate"], project)
    assert environ == {}


def test_only_the_owner_reads_it(project: Path) -> None:
    keep(RUNNING, file_of(project))
    assert stat.S_IMODE(file_of(project).stat().st_mode) == 0o600


def test_addresses_are_printed_in_a_bare_shell() -> None:
    bare = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    done = subprocess.run(
        [sys.executable, str(PROJECT / "manage.py"), "sandbox", "--print-urls"],
        env=bare,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    urls = json.loads(done.stdout)
    assert set(urls) >= {"binance", "bybit", "okx", "deribit", "hyperliquid"}
    for venue in urls.values():
        assert venue["rest"].startswith("http://127.0.0.1:")
        assert venue["ws"].startswith("ws://127.0.0.1:")
