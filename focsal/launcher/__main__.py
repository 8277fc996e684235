"""``python -m focsal.launcher run|test|bench|soak|servers``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from focsal.launcher.child import follow_parent
from focsal.launcher.console import StopSignal, warn
from focsal.launcher.errors import LauncherError, Stopped

USAGE = "usage: python -m focsal.launcher run|test|bench|soak|servers [-- arguments]"


def main(arguments: Sequence[str]) -> int:
    command = arguments[0] if arguments else ""
    rest = [text for text in arguments[1:2] if text != "--"] + list(arguments[2:])
    stop = StopSignal()
    stop.install()
    if "MAKELEVEL" in os.environ:
        # Killed make, or a second Ctrl-C, which ends make at once: stop in order as well.
        follow_parent(signal.SIGTERM)
    try:
        return _dispatch(command, rest, stop)
    except LauncherError as error:
        warn(f"FOCSAL: {error}")
        return 1
    except Stopped:
        warn("FOCSAL: stopped")
        return 130


def _dispatch(command: str, rest: list[str], stop: StopSignal) -> int:
    # Imported here: tests need nothing of the run command, and the reverse.
    from focsal.launcher import run, suite

    match command:
        case "run":
            return run.run(stop)
        case "test":
            return suite.test(rest, stop)
        case "bench":
            return suite.bench(rest, stop)
        case "soak":
            return suite.soak(rest, stop)
        case "servers":
            return suite.keep_servers(stop)
        case _:
            warn(USAGE)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
