"""What staff may do, as two groups. Nobody edits keys, usage, rules or webhooks; support looks, operations
also revoke keys, edit plans, switch off rules and webhooks and send events again.
"""

from __future__ import annotations

from typing import Final

from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission

_SEEN: Final = (
    *("accounts.account", "accounts.user", "accounts.letter", "tiers.plan", "tiers.planchange"),
    *("keys.apikey", "usage.quotanotice"),
    *("billing.billingcustomer", "billing.billingsubscription", "billing.billinginvoice"),
    *("billing.stripeevent", "billing.planprice", "billing.reveallink"),
    "billing.pricemove",
    *("alerts.webhook", "alerts.event", "alerts.delivery", "alerts.attempt"),
    *("alerts.alertrule", "alerts.alertfire", "alerts.marketstate", "alerts.idempotencyrecord"),
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
        "accounts.resend_letter",
        *("tiers.change_plan", "tiers.add_planchange", "keys.revoke_apikey"),
        *("alerts.disable_webhook", "alerts.resend_delivery", "alerts.disable_alertrule"),
    ),
}


def groups_ensure(*, using: str = "default") -> None:
    """Create missing groups with their permissions. Existing ones stay as staff made them, and get only
    what an update has brought into being.
    """
    from django.apps import apps

    before = set(Permission.objects.using(using).values_list("pk", flat=True))
    for label in ("accounts", "tiers", "keys", "usage", "billing", "alerts"):
        create_permissions(apps.get_app_config(label), verbosity=0, using=using)
    for name, permissions in GROUPS.items():
        group, created = Group.objects.using(using).get_or_create(name=name)
        found = _permissions(permissions, using)
        group.permissions.add(*(one for one in found if created or one.pk not in before))


def _permissions(names: tuple[str, ...], using: str) -> list[Permission]:
    found = []
    for name in names:
        label, _, codename = name.partition(".")
        found.append(
            Permission.objects.using(using).get(content_type__app_label=label, codename=codename)
        )
    return found
