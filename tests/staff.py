"""Staff for tests: signed in, members of the groups that are named, with a second factor."""

from __future__ import annotations

from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth.models import Group
from django.test import Client

from apps.accounts.models import User


def staff_client(*groups: str, is_superuser: bool = False) -> Client:
    email = f"{'-'.join(groups) or 'root'}@focsal.test"
    user = User.objects.create(email=email, is_staff=True, is_superuser=is_superuser)
    user.groups.set(Group.objects.filter(name__in=groups))
    TOTP.activate(user, generate_totp_secret())
    client = Client()
    client.force_login(user)
    return client
