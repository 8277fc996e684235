"""A drain process for the kill test: run as a program, in small batches, until it is killed."""

from __future__ import annotations

import os
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "focsal.settings")


def main() -> None:
    django.setup()
    from apps.usage import drain

    drain.BATCH = 20  # type: ignore[misc]  # small, so that kills meet every step
    usage_drain = drain.UsageDrain(consumer=f"killed-{os.getpid()}", stale_ms=100)
    while True:
        usage_drain.run(5)
        time.sleep(0.005)


if __name__ == "__main__":
    main()
