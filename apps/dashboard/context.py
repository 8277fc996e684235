"""What every page's frame needs: the reader's colours and languages."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import get_language

THEME_COOKIE: Final = "theme"
THEMES: Final = ("light", "dark")


def frame(request: HttpRequest) -> dict[str, Any]:
    theme = request.COOKIES.get(THEME_COOKIE, "")
    return {
        "theme": theme if theme in THEMES else "",
        "languages": settings.LANGUAGES,
        "current_language": get_language(),
    }
