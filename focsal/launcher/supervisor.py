"""Rendering supervisord's configuration: who runs, who restarts, who stops before whom."""

from __future__ import annotations

import re
import resource
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from focsal.launcher.errors import LauncherError
from focsal.launcher.programs import Program

GRACE_S: Final = 35
# Start order; supervisord stops groups one after another from the last to the first.
GROUPS: Final = ("postgres", "redis", "sandbox", "pipeline", "web")
_OWN_GROUP: Final = frozenset(GROUPS) - {"pipeline"}
# Failed starts in a row, 1, 2, 3 … s apart, before the launcher takes over with a fixed pause.
START_RETRIES: Final = 8
_INLINE_COMMENT: Final = re.compile(r"\s[;#]")
_LONGEST_SOCKET_PATH: Final = 100


def group_of(name: str) -> str:
    """The stop group of a Procfile process; all that is neither server, sandbox nor web
    belongs to the pipeline and stops together."""
    return name if name in _OWN_GROUP else "pipeline"


def value(text: str) -> str:
    """Escape a value for supervisord's configuration file."""
    if "\n" in text or "\r" in text or _INLINE_COMMENT.search(text):
        raise LauncherError(
            f"supervisord cannot take {text!r}: no line breaks, and no ';' or '#' after a space. "
            "If it is the folder's name, move FOCSAL to another folder"
        )
    return text.replace("%", "%%")


def environment(variables: Mapping[str, str]) -> str:
    """``NAME="value"`` pairs as supervisord reads them."""
    pairs = []
    for name, text in sorted(variables.items()):
        if '"' in text or "\\" in text:
            # Its parser is shlex, which would end or change the quoted value here.
            raise LauncherError(f"supervisord cannot take quotes or backslashes in {name}")
        pairs.append(f'{name}="{value(text)}"')
    return ",".join(pairs)


@dataclass(frozen=True, slots=True)
class Control:
    """How to talk to supervisord: a unix socket only its owner can open."""

    socket: Path
    password: str
    username: str = "launcher"


def socket_path(runtime: Path, short: Path) -> Path:
    """``supervisor.sock`` in ``runtime``, or in ``short`` when the path would be too long.

    A unix socket's path holds 107 bytes (103 on macOS); supervisord adds a few while it binds.
    """
    path = runtime / "supervisor.sock"
    return path if len(str(path).encode()) + 8 <= _LONGEST_SOCKET_PATH else short / path.name


def render(
    programs: Sequence[Program], control: Control, logs: Path, runtime: Path, *, as_root: bool
) -> str:
    """The whole configuration. Nothing starts by itself: the launcher knows what must be ready."""
    groups: dict[str, list[str]] = {}
    for program in programs:
        groups.setdefault(group_of(program.name), []).append(program.name)
    sections = [_main(control, logs, runtime, as_root=as_root)]
    sections += [_program(program, logs) for program in programs]
    sections += [
        f"[group:{group}]\nprograms={','.join(groups[group])}\n"
        f"priority={(GROUPS.index(group) + 1) * 10}\n"
        for group in GROUPS
        if group in groups
    ]
    return "\n".join(sections)


def _main(control: Control, logs: Path, runtime: Path, *, as_root: bool) -> str:
    lines = [
        "[supervisord]",
        "nodaemon=true",
        "silent=true",
        "nocleanup=true",
        f"minfds={_open_files()}",
        f"logfile={value(str(logs / 'supervisord.log'))}",
        "logfile_maxbytes=10MB",
        "logfile_backups=2",
        f"pidfile={value(str(runtime / 'supervisord.pid'))}",
        f"childlogdir={value(str(logs))}",
        # Says that running as root is meant.
        *(["user=root"] if as_root else []),
        "",
        "[unix_http_server]",
        f"file={value(str(control.socket))}",
        "chmod=0600",
        f"username={control.username}",
        f"password={value(control.password)}",
        "",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "",
    ]
    return "\n".join(lines)


def _program(program: Program, logs: Path) -> str:
    lines = [
        f"[program:{program.name}]",
        f"command={value(shlex.join(program.command()))}",
        f"directory={value(str(program.directory))}",
        "autostart=false",
        "autorestart=true",
        "startsecs=2",
        f"startretries={START_RETRIES}",
        f"stopsignal={program.stop_signal}",
        f"stopwaitsecs={GRACE_S}",
        # The stop signal goes to the process alone, which stops its own children in its own
        # order: sent to the group it would kill Celery's children in the middle of their tasks.
        "stopasgroup=false",
        "killasgroup=true",
        f"stdout_logfile={value(str(logs / f'{program.name}.log'))}",
        "stdout_logfile_maxbytes=10MB",
        "stdout_logfile_backups=3",
        "redirect_stderr=true",
    ]
    if program.environment:
        lines.append(f"environment={environment(program.environment)}")
    return "\n".join(lines) + "\n"


def _open_files() -> int:
    """Open files a process may have: thousands of sockets, as far as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 16_384 if hard == resource.RLIM_INFINITY else min(hard, 16_384)
