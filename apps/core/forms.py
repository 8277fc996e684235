"""What forms of pages share."""

from __future__ import annotations

from django import forms

from apps.core.errors import FocsalError


class RefusableForm(forms.Form):
    """A form whose work may be refused by a service."""

    def add_refusal(self, error: FocsalError) -> None:
        """At the field that it names; what is wrong inside of a field's JSON stands at the field."""
        name = (error.param or "").partition(".")[0]
        self.add_error(name if name in self.fields else None, error.detail)
