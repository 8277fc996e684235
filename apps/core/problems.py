"""RFC 9457 problem documents: one shape for every error, from the edge, DRF, middleware and sockets."""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions as drf
from rest_framework.response import Response

from apps.core import errors
from apps.core.errors import FocsalError
from apps.core.jsonout import dumps
from apps.core.logs import get_logger

CONTENT_TYPE: Final = "application/problem+json"
_DOCS: Final = "/docs/errors/#"
DATABASE_AWAY_S: Final = 5
"""After so long it is worth to ask again."""
DatabaseAway = (OperationalError, InterfaceError)
"""What the driver raises when the server does not answer, or not in time."""
_log = get_logger(__name__)


def problem_document(error: FocsalError, request_id: str) -> dict[str, Any]:
    document: dict[str, Any] = {
        "type": f"{_DOCS}{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
        "docs": f"{_DOCS}{error.code}",
    }
    if error.param is not None:
        document["param"] = error.param
    if error.retry_after is not None:
        document["retry_after"] = error.retry_after
    document.update(error.extra)
    return document


def problem_bytes(error: FocsalError, request_id: str) -> bytes:
    return dumps(problem_document(error, request_id))


def problem_headers(error: FocsalError) -> list[tuple[str, str]]:
    """The headers that belong to a problem: its type, when to come back, how to say who one is."""
    headers = [("Content-Type", CONTENT_TYPE)]
    if error.retry_after is not None:
        headers.append(("Retry-After", str(error.retry_after)))
    if error.status == 401:
        # RFC 9110 11.6.1: a 401 names the scheme it expects.
        headers.append(("WWW-Authenticate", 'Bearer realm="focsal"'))
    return headers


def from_exception(exc: Exception) -> FocsalError | None:
    """The FOCSAL error that stands for a framework exception; None when it is a defect of ours."""
    if isinstance(exc, FocsalError):
        return exc
    if isinstance(exc, Http404 | drf.NotFound):
        return errors.NotFound("No resource at this address; the API starts at /v1.")
    if isinstance(exc, drf.MethodNotAllowed):
        return errors.MethodNotAllowed(str(exc.detail))
    if isinstance(exc, drf.NotAcceptable):
        return errors.NotAcceptable("Expected Accept json, csv or ndjson.", param="format")
    if isinstance(exc, drf.ParseError | drf.ValidationError | drf.UnsupportedMediaType):
        return errors.InvalidParameter(str(exc.detail))
    if isinstance(exc, SuspiciousOperation):
        return errors.InvalidParameter("The request could not be read.")
    if isinstance(exc, drf.NotAuthenticated | drf.AuthenticationFailed):
        return errors.MissingApiKey("Send the key as X-API-Key or Authorization: Bearer.")
    if isinstance(exc, drf.PermissionDenied):
        return errors.PermissionDenied(str(exc.detail))
    if isinstance(exc, DatabaseAway):
        return database_away()
    return None


def database_away() -> FocsalError:
    """Without the driver's message, which names host and user."""
    return errors.NotReady("Stored data cannot be read at the moment.", retry_after=DATABASE_AWAY_S)


def drf_exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's hook: every error becomes a problem document; defects are logged and answered 500."""
    request = context.get("request")
    request_id = getattr(getattr(request, "_request", None), "request_id", "")
    error = from_exception(exc)
    if isinstance(exc, DatabaseAway):
        _log.warning("database_away", request_id=request_id, exc_info=exc)
    if error is None:
        _log.error("unhandled_exception", request_id=request_id, exc_info=exc)
        error = errors.InternalError("The request failed on our side; quote the request id.")
    response = Response(
        problem_document(error, request_id), status=error.status, content_type=CONTENT_TYPE
    )
    for name, value in problem_headers(error):
        response[name] = value
    return response
