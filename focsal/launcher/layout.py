"""Where things lie, and as whom PostgreSQL runs.

PostgreSQL refuses root. As root it runs as an unprivileged user, who must be able to reach its
binaries and its data: inside the project where others may enter the folders above it, else under
``/var/lib/focsal/<hash of the project path>``. Nothing outside these two is ever chmod-ed.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from focsal.launcher.errors import LauncherError

PROJECT: Final = Path(__file__).resolve().parents[2]
EXTERNAL_ROOT: Final = Path("/var/lib/focsal")
UNPRIVILEGED_NAME: Final = "nobody"

ModeOf = Callable[[Path], int]


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The account that owns PostgreSQL's data when the launcher itself is root."""

    uid: int
    gid: int
    name: str


@dataclass(frozen=True, slots=True)
class Placement:
    """Where PostgreSQL's files go.

    ``folder`` holds data (and the copy of the binaries when ``copy_binaries``); ``user`` is None
    when PostgreSQL runs as the person who started the launcher.
    """

    folder: Path
    user: ServerUser | None
    copy_binaries: bool


def mode_of(path: Path) -> int:
    return path.stat().st_mode


def others_can_enter(path: Path, mode: ModeOf = mode_of) -> bool:
    """Whether every folder from ``/`` down to ``path`` lets any user pass through."""
    return all(mode(folder) & stat.S_IXOTH for folder in (path, *path.parents))


def others_can_run(program: Path, mode: ModeOf = mode_of) -> bool:
    needed = stat.S_IXOTH | stat.S_IROTH
    return others_can_enter(program.parent, mode) and mode(program) & needed == needed


def place(
    project: Path,
    postgres: Path,
    uid: int,
    unprivileged: Callable[[], ServerUser],
    *,
    inside: str = "var",
    mode: ModeOf = mode_of,
    external_root: Path = EXTERNAL_ROOT,
) -> Placement:
    """Decide where PostgreSQL's files go for a project folder, its ``postgres`` and our ``uid``."""
    if uid != 0:
        return Placement(project / inside, None, False)
    user = unprivileged()
    if others_can_enter(project, mode) and others_can_run(postgres, mode):
        return Placement(project / inside, user, False)
    digest = hashlib.sha256(os.fsencode(project)).hexdigest()[:16]
    return Placement(external_root / digest, user, True)


def unprivileged_user(name: str = UNPRIVILEGED_NAME) -> ServerUser:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise LauncherError(
            f"PostgreSQL does not run as root and there is no user {name!r} to run it as: "
            "create one, or start FOCSAL as an ordinary user"
        ) from None
    if entry.pw_uid == 0:
        raise LauncherError(f"the user {name!r} is root itself; PostgreSQL does not run as root")
    return ServerUser(entry.pw_uid, entry.pw_gid, name)


@dataclass(frozen=True, slots=True)
class Folders:
    """The launcher's own folders under ``var/``."""

    project: Path
    var: Path

    @classmethod
    def of(cls, project: Path) -> Folders:
        return cls(project, project / "var")

    @property
    def logs(self) -> Path:
        return self.var / "log"

    @property
    def runtime(self) -> Path:
        return self.var / "run"

    @property
    def redis(self) -> Path:
        return self.var / "redis"

    @property
    def state_file(self) -> Path:
        return self.var / "state.json"

    @property
    def demo_file(self) -> Path:
        return self.var / "demo.json"

    def create(self) -> None:
        """Make them; ``var`` passable for PostgreSQL's user, the rest private."""
        try:
            self.var.mkdir(exist_ok=True)
            if self.var.stat().st_uid == os.getuid():
                self.var.chmod(0o755)
            for private in (self.logs, self.runtime, self.redis):
                private.mkdir(exist_ok=True, mode=0o700)
                if not os.access(private, os.W_OK):
                    raise PermissionError(private)
        except PermissionError as error:
            raise LauncherError(
                f"cannot write {error.filename or error}: was FOCSAL started here by another "
                "user before? Give var/ to this user, or use a clone of your own"
            ) from None


def own_folder(path: Path, user: ServerUser | None) -> None:
    """Create a private folder (0700) for ``user``, or for ourselves."""
    path.mkdir(parents=True, exist_ok=True, mode=0o755)
    path.chmod(0o700)
    if user is not None:
        os.chown(path, user.uid, user.gid)


def open_external(folder: Path) -> None:
    """Create a folder under ``/var/lib/focsal`` that PostgreSQL's user can pass through."""
    for part in (folder.parent, folder):
        part.mkdir(parents=True, exist_ok=True)
        part.chmod(0o755)
    if not others_can_enter(folder):
        raise LauncherError(f"PostgreSQL's user cannot enter {folder}: a folder above it is closed")
