from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


def _plans_after_migrate(using: str, **_: Any) -> None:
    from apps.tiers.catalogue import plans_ensure

    if using == "default":
        plans_ensure(using=using)


class TiersConfig(AppConfig):
    name = "apps.tiers"
    label = "tiers"
    verbose_name = "Plans"

    def ready(self) -> None:
        # After every migrate, and after every flush: an installation without plans serves nobody.
        post_migrate.connect(_plans_after_migrate, sender=self, dispatch_uid="tiers.plans")
