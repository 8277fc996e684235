"""A running supervisord: starting it, asking it, stopping it in order."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from supervisor.xmlrpc import SupervisorTransport

from focsal.launcher import leftovers
from focsal.launcher.errors import LauncherError
from focsal.launcher.programs import MARKER, Program, follow_parent
from focsal.launcher.state import write_private
from focsal.launcher.supervisor import GRACE_S, GROUPS, Control, group_of, render, socket_path

_GONE: Final = (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError)


class SupervisorGone(LauncherError):
    """supervisord does not answer any more."""


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """supervisord's view of one process; ``started`` is Unix seconds, 0 when never started."""

    name: str
    state: str
    pid: int
    started: int
    spawn_error: str

    @property
    def is_down(self) -> bool:
        return self.state in {"STOPPED", "EXITED", "FATAL"}


class Supervisor:
    """supervisord with a set of programs, as a child of this process in a session of its own."""

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        logs: Path,
        runtime: Path,
        password: str,
        environment: Mapping[str, str],
    ) -> None:
        self.logs = logs
        self._programs = list(programs)
        self._runtime = runtime
        self._password = password
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._short: Path | None = None
        self._rpc: Any = None
        self._transport: SupervisorTransport | None = None

    def start(self, timeout_s: float = 20.0) -> None:
        """Start supervisord with nothing running in it yet."""
        control = self._control()
        config = self._runtime / "supervisord.conf"
        as_root = os.getuid() == 0
        text = render(self._programs, control, self.logs, self._runtime, as_root=as_root)
        write_private(config, text)
        control.socket.unlink(missing_ok=True)
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)]
        output = self.logs / "supervisord.out"
        with output.open("wb") as file:
            # A session of its own: Ctrl-C reaches the launcher alone, which stops in order.
            self._process = subprocess.Popen(
                follow_parent(command, "TERM"),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=self._environment,
                start_new_session=True,
            )
        self._connect(control)
        deadline = time.monotonic() + timeout_s
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise LauncherError(f"supervisord did not start:\n{tail(output)}")
            time.sleep(0.05)

    def _control(self) -> Control:
        short = Path(tempfile.mkdtemp(prefix="focsal-"))
        socket = socket_path(self._runtime, short)
        if socket.parent == short:
            self._short = short
        else:
            short.rmdir()
        return Control(socket, self._password)

    def _connect(self, control: Control) -> None:
        self._transport = SupervisorTransport(
            control.username, control.password, f"unix://{control.socket}"
        )
        proxy: Any = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=self._transport)
        self._rpc = proxy.supervisor

    def _answers(self) -> bool:
        try:
            return bool(self._rpc.getState()["statename"] == "RUNNING")
        except _GONE:
            # A failed connection is not usable again.
            self._close()
            return False

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self._rpc, method)(*arguments)
        except _GONE as error:
            self._close()
            raise SupervisorGone(f"supervisord stopped answering ({error})") from None

    def processes(self) -> dict[str, ProcessInfo]:
        return {
            info["name"]: ProcessInfo(
                info["name"], info["statename"], info["pid"], info["start"], info["spawnerr"]
            )
            for info in self._call("getAllProcessInfo")
        }

    def launch(self, *names: str) -> None:
        """Start programs without waiting; one that runs already is left alone."""
        for name in names:
            try:
                self._call("startProcess", f"{group_of(name)}:{name}", False)
            except xmlrpc.client.Fault as fault:
                if "ALREADY_STARTED" not in fault.faultString:
                    raise LauncherError(f"{name}: {fault.faultString}") from None

    def log_of(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def stop(self, announce: Callable[[str], None]) -> None:
        """Stop group after group in order, then supervisord; nothing is left behind."""
        if self._process is None:
            return
        try:
            for group in reversed(GROUPS):
                self._stop_group(group, announce)
            self._call("shutdown")
        except (SupervisorGone, xmlrpc.client.Fault):
            # Without its control socket supervisord still stops in order, by priorities.
            self._process.send_signal(signal.SIGTERM)
        self._reap(self._process)
        self._process = None

    def _stop_group(self, group: str, announce: Callable[[str], None]) -> None:
        running = [
            info.name
            for info in self.processes().values()
            if group_of(info.name) == group and not info.is_down
        ]
        if running:
            announce(f"FOCSAL: stopping {', '.join(sorted(running))}")
            self._call("stopProcessGroup", group)

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        try:
            process.wait(timeout=(GRACE_S + 5) * len(GROUPS))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # Nobody is left unless supervisord was killed.
        left = leftovers.in_session(process.pid)
        left += leftovers.marked(self._environment.get(MARKER, ""))
        leftovers.end(left, grace_s=GRACE_S)
        self._close()
        if self._short is not None:
            shutil.rmtree(self._short, ignore_errors=True)


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, indented."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 64_000))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return "  (no log)"
    return "\n".join(f"  {line[:500]}" for line in text.splitlines()[-lines:]) or "  (empty log)"
