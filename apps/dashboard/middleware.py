"""The reader's language, on pages only: machines always get English and no language headers."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.locale import LocaleMiddleware
from django.utils import translation

_MACHINE_PATHS: Final = ("/v1/", "/health/", "/openapi.json", "/asyncapi.json", "/static/")


class PageLocaleMiddleware(LocaleMiddleware):
    def process_request(self, request: HttpRequest) -> None:
        if request.path_info.startswith(_MACHINE_PATHS):
            # A worker thread remembers the language of the page that it served before.
            translation.activate(settings.LANGUAGE_CODE)
            return
        super().process_request(request)

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        if request.path_info.startswith(_MACHINE_PATHS):
            return response
        return super().process_response(request, response)
