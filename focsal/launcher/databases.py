"""Migrates both databases and seeds, in one process: ``python -m focsal.launcher.databases``.

Run by the launcher, which itself knows no Django; loading Django once instead of three times is
what a second start saves. ``seed`` seeds plans, ``demo`` the demo accounts as well: then the last
line on stdout is the seed's JSON object.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

import django
from django.core.management import call_command

SEEDS: Final[dict[str, list[str]]] = {"none": [], "plans": ["seed"], "demo": ["seed", "--demo"]}


def main(arguments: Sequence[str]) -> None:
    (seed,) = arguments
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "focsal.settings")
    django.setup()
    for database in ("default", "market"):
        # Checks are for development and CI; every process that follows would pay for them.
        call_command("migrate", database=database, interactive=False, skip_checks=True)
    if SEEDS[seed]:
        call_command(*SEEDS[seed])


if __name__ == "__main__":
    main(sys.argv[1:])
