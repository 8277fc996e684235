"""What a visitor fills in."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import SignupForm as BaseSignupForm
from django import forms
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _


class SignupForm(BaseSignupForm):  # type: ignore[misc]  # allauth ships no types
    account_name = forms.CharField(
        label=_("Name or company"),
        max_length=120,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
    )
    has_read_risks = forms.BooleanField(
        label=_(
            "I understand that FOCSAL is educational material and no investment advice, "
            "and that trading can lose all capital."
        )
    )

    def try_save(self, request: HttpRequest) -> Any:
        """Who has an account already takes as long as who has none: hashing is most of it."""
        if self.account_already_exists:
            make_password(self.cleaned_data["password1"])
        return super().try_save(request)
