"""What the launcher says, and how it hears that it shall stop."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from types import FrameType
from typing import Final, TextIO

from focsal.launcher.errors import Stopped


def say(text: str) -> None:
    """One line for the person (or the CI log) that watches."""
    _print(text, sys.stdout)


def warn(text: str) -> None:
    _print(text, sys.stderr)


def _print(text: str, stream: TextIO) -> None:
    # A closed terminal or pipe must not keep an ordered stop from going on.
    with contextlib.suppress(OSError):
        print(text, file=stream, flush=True)


class StopSignal:
    """Remembers that SIGINT, SIGTERM or SIGHUP arrived.

    Handlers only set an event and never raise: an ordered stop cannot be interrupted half way,
    however often Ctrl-C is pressed.
    """

    def __init__(self) -> None:
        self._event: Final = threading.Event()
        self._stopping = False

    def install(self) -> None:
        signal.signal(signal.SIGINT, self._handle)
        signal.signal(signal.SIGTERM, self._handle)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup has set it.
            signal.signal(signal.SIGHUP, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._stopping:
            # Not print(): the handler may run inside another print of this thread.
            os.write(2, b"FOCSAL: already stopping, in order; each step has up to 35 s\n")
        self._event.set()

    def begin_stopping(self) -> None:
        self._stopping = True

    @property
    def requested(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep, but wake as soon as a stop is asked for; True when it was."""
        return self._event.wait(seconds)

    def check(self) -> None:
        if self._event.is_set():
            raise Stopped
