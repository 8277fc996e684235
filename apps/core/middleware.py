"""Request ids on every response, and problem documents for what never reaches DRF."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from apps.core import errors
from apps.core.ids import REQUEST_ID_HEADER, is_acceptable_request_id, new_request_id
from apps.core.logs import get_logger
from apps.core.problems import CONTENT_TYPE, database_away, problem_bytes

GetResponse = Callable[[HttpRequest], HttpResponseBase]
_log = get_logger(__name__)


class RequestIdMiddleware:
    """Takes the edge's id when there is one, else a harmless one from the caller, else a new one."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        scope = getattr(request, "scope", {})
        offered = scope.get("focsal.request_id") or request.headers.get(REQUEST_ID_HEADER, "")
        request_id = offered if is_acceptable_request_id(offered) else new_request_id()
        request.request_id = request_id  # type: ignore[attr-defined]
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = self.get_response(request)
        response[REQUEST_ID_HEADER] = request_id
        if response.status_code in (204, 304):
            # No body, so no type; RFC 9110 8.6 allows a 304 only the length of the 200, a 204 none.
            # Done here because this middleware is the outermost, after Django counted an empty body.
            response.headers.pop("Content-Length", None)
            response.headers.pop("Content-Type", None)
        return response


class ProblemResponseMiddleware:
    """Unknown routes, wrong methods and crashes outside DRF answer problem+json under /v1 and /health."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        is_api = request.path.startswith(("/v1", "/health", "/openapi"))
        if not is_api or response.status_code < 400:
            return response
        content_type = response.headers.get("Content-Type", "")
        if content_type.startswith(CONTENT_TYPE):
            return response
        error = _error_for(response.status_code, request)
        replaced = HttpResponse(
            problem_bytes(error, getattr(request, "request_id", "")),
            status=error.status,
            content_type=CONTENT_TYPE,
        )
        for header in ("Allow", "Retry-After"):
            if header in response.headers:
                replaced[header] = response.headers[header]
        return replaced


def _error_for(status: int, request: HttpRequest) -> errors.FocsalError:
    if status == 404:
        return errors.NotFound(f"No resource at {request.path}; the API starts at /v1.")
    if status == 405:
        return errors.MethodNotAllowed(f"{request.method} is not allowed at {request.path}.")
    if status == 403:
        return errors.PermissionDenied("The request was refused.")
    if status < 500:
        return errors.InvalidParameter("The request could not be read.")
    if status == 503:
        return database_away()
    return errors.InternalError("The request failed on our side; quote the request id.")
