"""Long names of fields in narrow columns."""

from __future__ import annotations

from django import template
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def breakable(name: str) -> SafeString:
    """The name, with a place to break the line after each dot."""
    parts = name.split(".")
    ends = [f"{part}." for part in parts[:-1]]
    return format_html_join("", "{}<wbr>", ((end,) for end in ends)) + format_html_join(
        "", "{}", ((parts[-1],),)
    )
