"""What stops a start."""

from __future__ import annotations


class LauncherError(Exception):
    """Something the person at the keyboard can put right; the message says what."""


class Stopped(Exception):
    """Ctrl-C or a termination signal arrived while something was being started."""
