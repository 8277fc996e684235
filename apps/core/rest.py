"""What every DRF view of the API shares."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from apps.core.testfaults.rest import HasTestFaults


class FormatIsAParameter(BaseContentNegotiation):
    """Views choose the format themselves; only errors are rendered by DRF, always as JSON."""

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type

    def select_parser(self, request: Request, parsers: Iterable[Any]) -> Any:
        return next(iter(parsers))


class ReadOnlyView(HasTestFaults):
    """GET and HEAD only; other methods get 405 with Allow, and other answers do not carry Allow."""

    content_negotiation_class = FormatIsAParameter
    http_method_names = ["get", "head", "options"]

    def options(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:  # type: ignore[override]  # no metadata document
        return HttpResponse(status=204)

    def finalize_response(  # type: ignore[override]  # ready bytes are Django responses
        self, request: Request, response: Any, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        final: HttpResponseBase = super().finalize_response(request, response, *args, **kwargs)
        if final.status_code != 405 and request.method != "OPTIONS":
            final.headers.pop("Allow", None)
        return final
