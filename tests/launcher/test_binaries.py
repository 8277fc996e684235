"""PostgreSQL's and Redis' programs: the newest is found, copies can be run by others."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from focsal.launcher import binaries
from focsal.launcher.errors import LauncherError


def _install(package: Path, name: str) -> None:
    (package / name / "bin").mkdir(parents=True)
    (package / name / "bin" / "postgres").touch()


def test_the_newest_postgresql_of_the_wheel_is_taken(tmp_path: Path) -> None:
    _install(tmp_path, "pginstall")
    assert binaries.newest_install(tmp_path).name == "pginstall"
    for name in ("pginstall9", "pginstall18"):
        _install(tmp_path, name)
    (tmp_path / "pginstall19").mkdir()  # Empty: not an installation.
    assert binaries.newest_install(tmp_path).name == "pginstall18"


def test_a_wheel_without_postgresql_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LauncherError, match="no PostgreSQL in"):
        binaries.newest_install(tmp_path)


def test_without_redis_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "package_folder", lambda _name: None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LauncherError, match="apt install redis-server"):
        binaries.find_redis()


def test_a_copied_postgresql_runs_and_others_can_run_it(tmp_path: Path) -> None:
    copied = binaries.copy_postgres(binaries.find_postgres(), tmp_path)
    program = copied / "initdb"
    assert tmp_path in program.parents
    assert program.stat().st_mode & stat.S_IXOTH
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert "PostgreSQL" in shown.stdout
    assert binaries.copy_postgres(binaries.find_postgres(), tmp_path) == copied
