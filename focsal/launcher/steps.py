"""Commands that run once during a start: migrations, seeds."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from focsal.launcher.console import StopSignal
from focsal.launcher.errors import LauncherError
from focsal.launcher.programs import follow_parent


def databases(seed: str, project: Path, environment: Mapping[str, str], stop: StopSignal) -> str:
    """Migrate both databases and seed (``none``, ``plans``, ``demo``); what was printed."""
    command = [sys.executable, "-m", "focsal.launcher.databases", seed]
    return run("migrating and seeding the databases", command, project, environment, stop)


def run(
    what: str,
    command: Sequence[str],
    project: Path,
    environment: Mapping[str, str],
    stop: StopSignal,
) -> str:
    """Run a command to its end; what it printed on stdout.

    A stop request ends it and raises ``Stopped``; when it fails, its last lines are shown.
    """
    step = _Step(command, project, environment)
    try:
        while step.process.poll() is None:
            stop.wait(0.05)
            stop.check()
        return step.result(what)
    finally:
        step.close()


class _Step:
    def __init__(
        self, command: Sequence[str], project: Path, environment: Mapping[str, str]
    ) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self.process = subprocess.Popen(
            follow_parent(list(command), "TERM"),
            cwd=project,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._errors,
            start_new_session=True,
        )

    def result(self, what: str) -> str:
        self._output.seek(0)
        output = self._output.read().decode("utf-8", "replace")
        if self.process.returncode != 0:
            self._errors.seek(0)
            lines = (output + self._errors.read().decode("utf-8", "replace")).splitlines()
            shown = "\n".join(f"  {line[:500]}" for line in lines[-15:])
            raise LauncherError(f"{what} failed (exit {self.process.returncode}):\n{shown}")
        return output

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._output.close()
        self._errors.close()
