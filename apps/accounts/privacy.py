"""What we hold about a person, as a download, and how it is forgotten.

Apps that hold personal data register an exporter; the export is the sum of them. Deletion keeps what the
law and the usage log need (an account number, its calls, its invoices) and nothing that names a person.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from axes.models import AccessAttempt
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import Account, Letter, User
from apps.tiers.models import Plan

Exporter: TypeAlias = Callable[[User], Any]
Eraser: TypeAlias = Callable[[Account], None]
_exporters: Final[dict[str, Exporter]] = {}
_erasers: Final[dict[str, Eraser]] = {}


def register_personal_data(name: str, exporter: Exporter, eraser: Eraser | None = None) -> None:
    """``exporter`` returns JSON-ready data of a user; ``eraser`` forgets an account's."""
    _exporters[name] = exporter
    if eraser is not None:
        _erasers[name] = eraser


def personal_data(user: User) -> dict[str, Any]:
    """Everything held about this person, by the part that holds it."""
    return {"profile": _profile(user), **{name: take(user) for name, take in _exporters.items()}}


@transaction.atomic
def user_forget(user: User) -> None:
    """End this person's access and remove what names them. The last user takes the account along."""
    locked = User.objects.select_for_update().get(pk=user.pk)
    account, email = locked.account, locked.email
    AccessAttempt.objects.filter(username=email.casefold()).delete()
    for session in UserSession.objects.filter(user=locked):
        session.end()
    EmailAddress.objects.filter(user=locked).delete()
    Letter.objects.filter(recipient__iexact=email).delete()
    Authenticator.objects.filter(user=locked).delete()
    locked.email = f"deleted-{locked.pk}@invalid"
    locked.first_name = locked.last_name = ""
    locked.is_active = locked.is_staff = locked.is_superuser = False
    locked.set_unusable_password()
    locked.save()
    locked.groups.clear()
    if account is not None and not account.users.filter(is_active=True).exists():
        account.name = f"deleted account {account.pk}"
        account.closed_at = timezone.now()
        Letter.objects.filter(account=account).delete()
        account.save(update_fields=["name", "closed_at"])
        for erase in _erasers.values():
            erase(account)
        account.plan = Plan.objects.get(slug="free")
        account.save(update_fields=["plan"])
    elif account is not None and account.name.strip().casefold() == email.casefold():
        # Who gave no name has the address for one.
        account.name = f"account {account.pk}"
        account.save(update_fields=["name"])


def _profile(user: User) -> dict[str, Any]:
    account = user.account
    return {
        "email": user.email,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "joined_at": user.date_joined,
        "last_login_at": user.last_login,
        "email_addresses": list(
            EmailAddress.objects.filter(user=user).values("email", "verified", "primary")
        ),
        "second_factors": list(
            Authenticator.objects.filter(user=user).values("type", "created_at", "last_used_at")
        ),
        "sessions": list(
            UserSession.objects.filter(user=user).values(
                "ip", "user_agent", "created_at", "last_seen_at"
            )
        ),
        "wrong_passwords": list(
            AccessAttempt.objects.filter(username=user.email.casefold()).values(
                "ip_address", "user_agent", "attempt_time", "failures_since_start"
            )
        ),
        "letters_on_their_way": list(
            Letter.objects.filter(recipient__iexact=user.email).values(
                "subject", "body", "created_at", "failed_at"
            )
        ),
        "account": None
        if account is None
        else {
            "number": account.pk,
            "name": account.name,
            "plan": account.plan.slug,
            "created_at": account.created_at,
            "export_until": account.export_until,
        },
    }
