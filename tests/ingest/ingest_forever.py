"""Real ingest of a small market in a process of its own, to be stopped or killed.

``python -m tests.ingest.ingest_forever '{"market": …, "port": …, "assets": […], "spool": …}'``; addresses are
in the environment.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "focsal.settings")
    told = json.loads(sys.argv[1])
    from django.conf import settings

    settings.MARKET = told["market"]
    django.setup()
    from apps.ingest.emulator import Emulator
    from apps.ingest.management.commands.ingest import run
    from apps.ingest.service import IngestConfig
    from tests.ingest.rig import Few

    run(
        IngestConfig(
            market="sandbox",
            shard=Few(names=tuple(told["assets"])),
            spool_dir=Path(told["spool"]),
            emulator=Emulator("127.0.0.1", told["port"]),
            seed=1,
            history_days=told.get("history_days", 1),
        )
    )


if __name__ == "__main__":
    main()
