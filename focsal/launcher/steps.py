"""Commands that run once during a start: migrations, seeds."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from focsal.launcher.console import StopSignal
from focsal.launcher.errors import LauncherError
from focsal.launcher.programs import follow_parent


def run_all(
    commands: Sequence[Sequence[str]],
    project: Path,
    environment: Mapping[str, str],
    stop: StopSignal,
) -> list[str]:
    """Run commands side by side; returns what each printed on stdout.

    A stop request ends them and raises ``Stopped``; a failing one raises with its last lines.
    """
    running = [_Step(command, project, environment) for command in commands]
    try:
        while any(step.process.poll() is None for step in running):
            stop.wait(0.05)
            stop.check()
        return [step.result() for step in running]
    finally:
        for step in running:
            step.close()


class _Step:
    def __init__(
        self, command: Sequence[str], project: Path, environment: Mapping[str, str]
    ) -> None:
        self._command = list(command)
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self.process = subprocess.Popen(
            follow_parent(self._command, "TERM"),
            cwd=project,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._errors,
            start_new_session=True,
        )

    def result(self) -> str:
        self._output.seek(0)
        output = self._output.read().decode("utf-8", "replace")
        if self.process.returncode != 0:
            self._errors.seek(0)
            lines = (output + self._errors.read().decode("utf-8", "replace")).splitlines()
            shown = "\n".join(f"  {line[:500]}" for line in lines[-15:])
            raise LauncherError(
                f"{' '.join(self._command[1:])} failed (exit {self.process.returncode}):\n{shown}"
            )
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
