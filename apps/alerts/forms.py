"""What a customer fills in."""

from __future__ import annotations

from typing import Any

import orjson
from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.alerts.models import Webhook
from apps.alerts.registry import all_types
from apps.alerts.rules import DEFAULT_COOLDOWN_S, MAX_COOLDOWN_S
from apps.core.forms import RefusableForm

_FORMATS = [
    (value, _("JSON, signed (Standard Webhooks)") if value == Webhook.Format.JSON else label)
    for value, label in Webhook.Format.choices
]


def _event_choices() -> list[tuple[str, str]]:
    return [(one.name, f"{gettext(one.title)} ({one.name})") for one in all_types()]


class WebhookForm(RefusableForm):
    """Which events, of which assets, go where."""

    name = forms.CharField(label=_("Name"), max_length=80)
    url = forms.CharField(
        label=_("Address"),
        max_length=2000,
        widget=forms.TextInput(attrs={"spellcheck": "false", "inputmode": "url"}),
        help_text=_("A public https:// address. For Telegram: sendMessage with chat_id."),
    )
    format = forms.ChoiceField(label=_("Format"), choices=_FORMATS)
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


class RuleForm(RefusableForm):
    """A condition as JSON, as the API takes it."""

    name = forms.CharField(label=_("Name"), max_length=80)
    condition = forms.CharField(
        label=_("Condition"),
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 10, "spellcheck": "false"}),
        help_text=_("As JSON; see the examples below."),
    )
    cooldown_seconds = forms.IntegerField(
        label=_("Cooldown in seconds"),
        min_value=0,
        max_value=MAX_COOLDOWN_S,
        initial=DEFAULT_COOLDOWN_S,
        help_text=_("After it has told, it keeps quiet for this long."),
    )
    is_enabled = forms.BooleanField(label=_("Switched on"), required=False, initial=True)

    def clean_condition(self) -> Any:
        try:
            return orjson.loads(self.cleaned_data["condition"])
        except orjson.JSONDecodeError:
            raise forms.ValidationError(_("Not a JSON object.")) from None

    def given(self) -> dict[str, Any]:
        """As the API takes it."""
        return dict(self.cleaned_data)
