from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


def _groups_after_migrate(using: str, **_: Any) -> None:
    from apps.accounts.staff_groups import groups_ensure

    if using == "default":
        groups_ensure(using=using)


class AccountsConfig(AppConfig):
    name = "apps.accounts"
    label = "accounts"
    verbose_name = "Customers"

    def ready(self) -> None:
        from apps.accounts import export_window, sign_outs

        export_window.connect()
        sign_outs.connect()
        post_migrate.connect(_groups_after_migrate, sender=self, dispatch_uid="accounts.groups")
