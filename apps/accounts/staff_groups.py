"""What staff may do, as two groups. Nobody edits keys or usage; operations revoke keys and edit plans."""

from __future__ import annotations

from typing import Final

from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission

_SEEN: Final = (
    *("accounts.account", "accounts.user", "tiers.plan", "tiers.planchange"),
    *("keys.apikey", "usage.quotanotice"),
    *("billing.billingcustomer", "billing.billingsubscription", "billing.billinginvoice"),
    *("billing.stripeevent", "billing.planprice"),
)
_VIEW: Final = tuple(
    f"{model.partition('.')[0]}.view_{model.partition('.')[2]}"
    for model in (*_SEEN, "usage.usagerequest")
)
GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "support": _VIEW,
    "operations": (
        *_VIEW,
        *("accounts.add_account", "accounts.change_account", "accounts.change_user"),
        *("tiers.change_plan", "tiers.add_planchange", "keys.revoke_apikey"),
    ),
}


def groups_ensure(*, using: str = "default") -> None:
    """Create missing groups with their permissions; existing ones stay as staff made them."""
    from django.apps import apps

    for label in ("accounts", "tiers", "keys", "usage", "billing"):
        create_permissions(apps.get_app_config(label), verbosity=0, using=using)
    for name, permissions in GROUPS.items():
        group, created = Group.objects.using(using).get_or_create(name=name)
        if created:
            group.permissions.set(_permissions(permissions, using))


def _permissions(names: tuple[str, ...], using: str) -> list[Permission]:
    found = []
    for name in names:
        label, _, codename = name.partition(".")
        found.append(
            Permission.objects.using(using).get(content_type__app_label=label, codename=codename)
        )
    return found
