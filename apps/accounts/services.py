"""Making accounts and users."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from allauth.account.signals import email_changed
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from apps.accounts.letters import letter_send_to
from apps.accounts.models import Account, User
from apps.core.errors import InvalidParameter
from apps.tiers.models import Plan


def clean_email(email: str) -> str:
    email = email.strip()
    try:
        validate_email(email)
    except ValidationError:
        raise InvalidParameter(
            f"email: expected an e-mail address, received {email[:80]!r}.", param="email"
        ) from None
    return User.objects.normalize_email(email)


@transaction.atomic
def account_ensure(
    *, email: str, plan: Plan, name: str = "", is_demo: bool = False
) -> tuple[User, Account]:
    """The user with this address and an account; a user who has one keeps its plan.

    A new user has no password and cannot sign in until one is set.
    """
    email = clean_email(email)
    user = User.objects.select_related("account__plan").filter(email__iexact=email).first()
    if user is None:
        user = User.objects.create_user(email)
    account = user.account
    if account is None:
        account = Account.objects.create(name=name or email, plan=plan, is_demo=is_demo)
        user.account = account
        user.save(update_fields=["account"])
    return user, account


def email_mark_verified(user: User) -> None:
    """Take the address as confirmed, for users that we made ourselves: demo customers and staff."""
    EmailAddress.objects.update_or_create(
        user=user, email=user.email, defaults={"verified": True, "primary": True}
    )


def email_refused(user: User, email: str) -> str:
    """Why this user cannot have that address; empty when it can."""
    others = EmailAddress.objects.exclude(user=user).filter(email__iexact=email, verified=True)
    if others.exists() or User.objects.exclude(pk=user.pk).filter(email__iexact=email).exists():
        return "Somebody else has this address."
    return ""


@transaction.atomic
def email_change(user: User, email: str) -> None:
    """Another address, given by staff: nobody has shown that it is theirs, so it waits to be confirmed.

    Until then nobody signs in by it (the next sign-in asks for a code from its letters). The old address is
    told and forgotten, links to a new password that went to it are void, and Stripe writes to the new one.
    """
    locked = User.objects.select_for_update().get(pk=user.pk)
    email, before = clean_email(email).lower(), locked.email
    if email == before:
        return
    if reason := email_refused(locked, email):
        raise InvalidParameter(f"email: {reason}", param="email")
    known = EmailAddress.objects.filter(user=locked)
    # A spelling in other capitals is the same mailbox.
    is_verified = known.filter(email__iexact=email, verified=True).exists()
    old = known.filter(primary=True).first()
    known.delete()
    new = EmailAddress.objects.create(user=locked, email=email, primary=True, verified=is_verified)
    user.email = locked.email = email
    locked.save(update_fields=["email"])
    email_changed.send(
        sender=EmailAddress,
        request=None,
        user=locked,
        from_email_address=old,
        to_email_address=new,
    )
    if before.lower() != email:
        letter_send_to(
            [before], "address_changed", account=locked.account, before=before, after=email
        )
