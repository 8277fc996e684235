"""What a customer fills in to make or roll a key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.core.forms import RefusableForm
from apps.feed.registry import all_specs
from apps.tiers.models import Layer, Plan

_EXPIRY: Final = {"": None, "7": 7, "30": 30, "90": 90, "365": 365}
_GRACE_HOURS: Final = (0, 1, 24, 168)


class KeyForm(RefusableForm):
    """Name, scope, addresses, end. Nothing ticked means all that the plan has."""

    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("Which program uses it."))
    layers = forms.MultipleChoiceField(
        label=_("Layers"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None ticked: all layers of your plan."),
    )
    channels = forms.MultipleChoiceField(
        label=_("Stream channels"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None ticked: all channels of your plan."),
    )
    allowed_ips = forms.CharField(
        label=_("Allowed addresses"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        help_text=_(
            "Addresses or networks such as 203.0.113.0/24, one a line. Empty: from anywhere."
        ),
    )
    expires_days = forms.ChoiceField(
        label=_("Expires"),
        required=False,
        choices=[
            ("", _("never")),
            ("7", _("in 7 days")),
            ("30", _("in 30 days")),
            ("90", _("in 90 days")),
            ("365", _("in a year")),
        ],
    )

    def __init__(self, *args: Any, plan: Plan, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        layers = [(slug, label) for slug, label in Layer.choices if slug in plan.layers]
        self.fields["layers"].choices = layers  # type: ignore[attr-defined]  # a choice field
        names = [spec.name for spec in all_specs() if spec.layer in plan.layers]
        if plan.has_websocket and names:
            self.fields["channels"].choices = [(n, n) for n in names]  # type: ignore[attr-defined]
        else:
            del self.fields["channels"]

    def scope(self) -> dict[str, Any]:
        """Arguments of ``key_create``."""
        cleaned = self.cleaned_data
        days = _EXPIRY[cleaned["expires_days"]]
        return {
            "name": cleaned["name"],
            "layers": cleaned["layers"],
            "channels": cleaned.get("channels", []),
            "allowed_ips": cleaned["allowed_ips"].replace(",", " ").split(),
            "expires_at": None if days is None else timezone.now() + timedelta(days=days),
        }


class RollForm(RefusableForm):
    grace_hours = forms.TypedChoiceField(
        label=_("The old key works on for"),
        coerce=int,
        choices=[
            (0, _("no time: it stops now")),
            (1, _("an hour")),
            (24, _("a day")),
            (168, _("seven days")),
        ],
    )

    def grace(self) -> timedelta:
        return timedelta(hours=self.cleaned_data["grace_hours"])
