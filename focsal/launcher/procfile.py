"""Reading the Procfile: ``name: command`` lines, no shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from focsal.launcher.errors import LauncherError

_LINE = re.compile(r"^([A-Za-z0-9_-]+):\s*(\S.*)$")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::-([^}]*))?\})")
_SHELL_WORDS = frozenset({"&&", "||", "|", ";", "&", ">", ">>", "<", "exec"})


def expand(word: str, environment: Mapping[str, str]) -> str:
    """Replace ``$NAME``, ``${NAME}`` and ``${NAME:-default}`` as a POSIX shell would."""

    def value(found: re.Match[str]) -> str:
        name = found.group(1) or found.group(2)
        default = found.group(3)
        known = environment.get(name, "")
        if known:
            return known
        if default is None:
            raise LauncherError(f"Procfile: ${name} is not set")
        return default

    return _VARIABLE.sub(value, word)


def parse(text: str, environment: Mapping[str, str]) -> dict[str, list[str]]:
    """Program name → argument list, in the order of the file."""
    programs: dict[str, list[str]] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        found = _LINE.match(line)
        if found is None:
            raise LauncherError(f"Procfile line {number}: expected 'name: command', got {line!r}")
        name, command = found.groups()
        if name in programs:
            raise LauncherError(f"Procfile line {number}: {name} is there twice")
        programs[name] = _arguments(number, command, environment)
    if not programs:
        raise LauncherError("Procfile: no process in it")
    return programs


def _arguments(number: int, command: str, environment: Mapping[str, str]) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise LauncherError(f"Procfile line {number}: {error}") from None
    shell = _SHELL_WORDS.intersection(words)
    if shell:
        raise LauncherError(
            f"Procfile line {number}: {sorted(shell)[0]!r} needs a shell, which would hide the "
            "process from its supervisor; put it in a script"
        )
    return [expand(word, environment) for word in words]
