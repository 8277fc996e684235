"""The demo accounts of ``make run``: a Pro and an Enterprise customer and one member of staff.

Their keys and passwords are random per installation. The database has only hashes, so the plain text is
read back from ``var/demo.json`` and used again as long as it still fits; otherwise all of it is made anew.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any, Final

import orjson
from django.conf import settings
from django.contrib.auth.models import Group
from django.db import transaction

from apps.accounts.models import Account, User
from apps.accounts.services import account_ensure, email_mark_verified
from apps.accounts.staff_groups import groups_ensure
from apps.core.errors import FocsalError
from apps.keys.format import hash_key, is_well_formed
from apps.keys.models import ApiKey
from apps.keys.services import account_plan_change, key_create, keys_revoke_all
from apps.tiers.catalogue import plans_ensure
from apps.tiers.models import Plan

CUSTOMERS: Final = ("pro", "enterprise")
STAFF_EMAIL: Final = "staff@demo.focsal.test"
_KEY_NAME: Final = "demo"


class DemoRefused(FocsalError):
    code, status, title = "permission_denied", 403, "No demo accounts here"


def demo_email(plan: str) -> str:
    return f"{plan}@demo.focsal.test"


def demo_file() -> Path:
    return Path(settings.VAR_DIR) / "demo.json"


@transaction.atomic
def demo_ensure() -> dict[str, Any]:
    """Plans, demo customers and staff; ``{"keys", "login", "staff"}`` in plain text."""
    if settings.MARKET == "live" or settings.IS_PRODUCTION:
        raise DemoRefused(
            "Demo accounts are for sandbox and replay outside production; "
            f"this is market {settings.MARKET}, environment {settings.ENVIRONMENT}."
        )
    plans_ensure()
    known = _known()
    return {
        "keys": {plan: _customer_key(plan, known) for plan in CUSTOMERS},
        "login": _login(demo_email("enterprise"), known.get("login")),
        "staff": _staff(known.get("staff")),
    }


def _known() -> dict[str, Any]:
    try:
        content = orjson.loads(demo_file().read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def _customer_key(plan_slug: str, known: dict[str, Any]) -> str:
    plan = Plan.objects.get(slug=plan_slug)
    user, account = account_ensure(
        email=demo_email(plan_slug), plan=plan, name=f"Demo {plan.name}", is_demo=True
    )
    if account.plan_id != plan.pk:
        account = account_plan_change(account_id=account.pk, plan=plan)
    keys = known.get("keys")
    plaintext = keys.get(plan_slug) if isinstance(keys, dict) else None
    if isinstance(plaintext, str) and _is_valid(plaintext, account):
        return plaintext
    keys_revoke_all(account_id=account.pk, reason="demo keys made anew")
    environment = settings.KEY_ENVIRONMENT
    created = key_create(account=account, name=_KEY_NAME, environment=environment, created_by=user)
    return created.plaintext


def _is_valid(plaintext: str, account: Account) -> bool:
    if not is_well_formed(plaintext):
        return False
    keys = ApiKey.objects.filter(account=account, environment=settings.KEY_ENVIRONMENT)
    return any(key.is_active for key in keys.filter(sha256=hash_key(plaintext)))


def _login(email: str, known: Any) -> dict[str, str]:
    user = User.objects.get(email__iexact=email)
    email_mark_verified(user)
    password = known.get("password") if isinstance(known, dict) else None
    if not (isinstance(password, str) and user.check_password(password)):
        password = secrets.token_urlsafe(18)
        user.set_password(password)
        user.save(update_fields=["password"])
    return {"email": user.email, "password": password}


def _staff(known: Any) -> dict[str, str]:
    """A member of the operations group: sees everything, changes plans, revokes keys."""
    groups_ensure()
    user = User.objects.filter(email__iexact=STAFF_EMAIL).first()
    if user is None:
        user = User.objects.create_user(STAFF_EMAIL, is_staff=True)
    user.groups.add(Group.objects.get(name="operations"))
    return _login(STAFF_EMAIL, known)
