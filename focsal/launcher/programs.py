"""A program to be run: arguments, folder, environment, how it is asked to stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from focsal.launcher.layout import ServerUser

# Marks every process of one installation, so that leftovers are found and strangers are not.
MARKER: Final = "FOCSAL_INSTANCE"
_CHILD: Final = Path(__file__).with_name("child.py")
# All that PostgreSQL gets to see of the environment: no secrets, no PG* variables.
_BARE: Final = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", MARKER)


@dataclass(frozen=True, slots=True)
class Program:
    """One process. ``argv[0]`` is an absolute path; nothing goes through a shell."""

    name: str
    argv: list[str]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "TERM"
    user: ServerUser | None = None
    bare: bool = False

    def command(self) -> list[str]:
        """``argv`` wrapped so that the process follows its parent into death (see child.py)."""
        return follow_parent(self.argv, self.stop_signal, user=self.user, bare=self.bare)


def follow_parent(
    argv: list[str], stop_signal: str, *, user: ServerUser | None = None, bare: bool = False
) -> list[str]:
    options: list[str] = []
    if user is not None:
        options += ["--user", f"{user.uid}:{user.gid}"]
    if bare:
        options += ["--bare", ",".join(_BARE)]
    number = f"SIG{stop_signal}"
    return [sys.executable, "-I", "-S", str(_CHILD), *options, number, "--", *argv]


def bare_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _BARE if name in os.environ}
