"""``manage.py seed [--demo]``: what an installation needs before its first request."""

from __future__ import annotations

from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts.staff_groups import groups_ensure
from apps.core.errors import FocsalError
from apps.keys.demo import demo_ensure
from apps.tiers.catalogue import plans_ensure


class Command(BaseCommand):
    help = (
        "Ensure plans and staff groups; with --demo also demo accounts, printed as one JSON line."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--demo", action="store_true", help="refused on live and in production")

    def handle(self, *args: Any, **options: Any) -> None:
        plans = plans_ensure()
        groups_ensure()
        self.stderr.write(f"plans: {', '.join(plan.name for plan in plans)}")
        if not options["demo"]:
            return
        try:
            demo = demo_ensure()
        except FocsalError as error:
            raise CommandError(error.detail) from None
        self.stdout.write(orjson.dumps(demo).decode())
