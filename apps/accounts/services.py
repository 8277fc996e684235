"""Making accounts and users."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

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
