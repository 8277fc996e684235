"""``manage.py create_key``: an API key for a customer, printed once."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from apps.accounts.services import account_ensure
from apps.core.errors import FocsalError
from apps.keys.services import CreatedKey, key_create
from apps.tiers.catalogue import plans_ensure
from apps.tiers.models import Plan


class Command(BaseCommand):
    help = "Create an API key and print it once; it cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True, help="the customer; made when new")
        parser.add_argument("--name", required=True, help="what the key is for")
        parser.add_argument("--plan", default="pro", help="plan of a new account (default: pro)")
        parser.add_argument(
            "--environment",
            choices=("live", "test"),
            default=settings.KEY_ENVIRONMENT,
            help="default: what this deployment serves",
        )
        parser.add_argument("--layers", default="", help="restrict to layers, as in L1,L2")

    def handle(self, *args: Any, **options: Any) -> None:
        plans_ensure()
        try:
            with transaction.atomic():
                created = self._create(options)
        except FocsalError as error:
            raise CommandError(error.detail) from None
        self.stderr.write(f"{created.key.account} ({created.key.account.plan}): {created.key.name}")
        self.stdout.write(created.plaintext)

    def _create(self, options: dict[str, Any]) -> CreatedKey:
        plan = Plan.objects.filter(slug=options["plan"]).first()
        if plan is None:
            slugs = ", ".join(Plan.objects.values_list("slug", flat=True))
            raise CommandError(f"--plan: expected one of {slugs}, received {options['plan']!r}")
        user, account = account_ensure(email=options["email"], plan=plan)
        return key_create(
            account=account,
            name=options["name"],
            environment=options["environment"],
            created_by=user,
            layers=[part.strip() for part in options["layers"].split(",") if part.strip()],
        )
