"""What a customer fills in."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.alerts.models import Webhook
from apps.alerts.registry import all_types


def _event_choices() -> list[tuple[str, str]]:
    return [(one.name, f"{one.title} ({one.name})") for one in all_types()]


class WebhookForm(forms.Form):
    """Which events, of which assets, go where."""

    name = forms.CharField(label=_("Name"), max_length=80)
    url = forms.CharField(
        label=_("Address"),
        max_length=2000,
        widget=forms.TextInput(attrs={"spellcheck": "false", "inputmode": "url"}),
        help_text=_("A public https:// address. For Telegram: sendMessage with chat_id."),
    )
    format = forms.ChoiceField(label=_("Format"), choices=Webhook.Format.choices)
    events = forms.MultipleChoiceField(
        label=_("Events"),
        required=False,
        choices=_event_choices,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None ticked: all events."),
    )
    assets = forms.CharField(
        label=_("Assets"), required=False, help_text=_("Such as BTC ETH. Empty: all assets.")
    )
    is_enabled = forms.BooleanField(label=_("Switched on"), required=False, initial=True)

    def given(self) -> dict[str, Any]:
        """As the API takes it."""
        cleaned = self.cleaned_data
        assets = cleaned["assets"].upper().replace(",", " ").split()
        return {**cleaned, "assets": assets}


class TestForm(forms.Form):
    event = forms.ChoiceField(label=_("Event"), choices=_event_choices)
