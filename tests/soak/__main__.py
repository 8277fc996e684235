"""``make soak``: every long test in turn; the exit code is 1 when one fails."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import django

Soak = Callable[[], dict[str, Any]]


def _soaks() -> dict[str, Soak]:
    from tests.soak import cuts, fuzz, kills, load, sockets, storm

    modules = {
        "cuts": cuts, "fuzz": fuzz, "kills": kills, "load": load, "sockets": sockets, "storm": storm,
    }  # fmt: skip
    return {name: module.run for name, module in modules.items()}


def main(arguments: list[str]) -> int:
    django.setup()
    soaks: Final = _soaks()
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("names", nargs="*", help=f"which of {', '.join(soaks)}; all when left out")
    names = parser.parse_args(arguments).names or list(soaks)
    failed = False
    for name in names:
        started = time.monotonic()
        print(f"{name} …", flush=True)
        try:
            outcome = json.dumps(soaks[name]())
        except AssertionError as error:
            outcome, failed = f"FAILED: {error}", True
        print(f"{name}: {outcome} ({time.monotonic() - started:.0f} s)", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
