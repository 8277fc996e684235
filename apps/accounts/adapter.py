"""How sign-up and letters of the login library meet FOCSAL's accounts."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest

from apps.accounts.models import User
from apps.accounts.services import account_ensure
from apps.tiers.models import Plan


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.ACCOUNT_SIGNUP_ALLOWED)

    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        """A new visitor gets an account of its own on the free plan."""
        saved: User = super().save_user(request, user, form, commit)
        if commit:
            name = form.cleaned_data.get("account_name", "")
            account_ensure(email=saved.email, plan=Plan.objects.get(slug="free"), name=name)
            saved.refresh_from_db(fields=["account"])
        return saved
