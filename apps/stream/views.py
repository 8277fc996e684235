"""REST beside the sockets: tickets for browsers, and the account's own open sessions."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.core import errors
from apps.core.control import control_send
from apps.core.jsonout import dumps
from apps.core.params import QueryParams
from apps.core.redis import sync_redis
from apps.core.rest import FormatIsAParameter
from apps.keys.authentication import Principal
from apps.keys.models import ApiKey
from apps.keys.records import record_of
from apps.keys.selectors import key_of_account, page_record
from apps.stream.control import CLOSE_SESSION
from apps.stream.identity import identity_of
from apps.stream.schema import (
    session_delete_schema,
    sessions_delete_schema,
    sessions_schema,
    ticket_schema,
)
from apps.stream.sessions import sessions_of
from apps.stream.tickets import TICKET_S, ticket_issue
from apps.tiers.key_record import KeyRecord


class StreamView(APIView):
    """Keyed, counted as any request; one of no layer."""

    content_negotiation_class = FormatIsAParameter
    layer = None

    def finalize_response(  # type: ignore[override]  # ready bytes are Django responses
        self, request: Request, response: Any, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        final: HttpResponseBase = super().finalize_response(request, response, *args, **kwargs)
        if final.status_code != 405 and request.method != "OPTIONS":
            final.headers.pop("Allow", None)
        final.headers.setdefault("Cache-Control", "no-store")
        return final


def _principal(request: Request) -> Principal:
    QueryParams.parse(request.META.get("QUERY_STRING", ""), ())
    principal: Any = request.user
    found: Principal = principal
    return found


def _json(payload: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(dumps(payload), status=status, content_type="application/json")


def _unavailable() -> errors.FocsalError:
    return errors.StreamUnavailable("Sessions cannot be read at the moment.", retry_after=2)


class TicketView(StreamView):
    """By key, or by session and CSRF token: a page's ticket opens what its account's plan has, for as long as
    the session lasts."""

    http_method_names = ["post", "options"]
    pages_may_post = True

    @ticket_schema
    def post(self, request: Request) -> HttpResponse:
        principal = _principal(request)
        record = _record_of(principal, request)
        identity_of(record, request.META.get("REMOTE_ADDR", ""))
        try:
            ticket = ticket_issue(sync_redis(), record.key_hash)
        except (RedisError, OSError):
            raise _unavailable() from None
        return _json({"ticket": ticket, "expires_in": TICKET_S}, 201)


def _record_of(principal: Principal, request: Request) -> KeyRecord:
    if principal.key_id:
        try:
            return record_of(key_of_account(principal.account_id, principal.key_id))
        except ApiKey.DoesNotExist:
            # Redis still remembers a key that the database has lost.
            raise errors.InvalidApiKey("No such API key; check that it was copied whole.") from None
    record = page_record(principal.user_id, request.session.session_key or "")
    if record is None:
        raise errors.MissingApiKey("Only pages of an account open sockets; send a key.")
    return record


class SessionsView(StreamView):
    http_method_names = ["get", "delete", "head", "options"]

    @sessions_schema
    def get(self, request: Request) -> HttpResponse:
        principal = _principal(request)
        try:
            found = sessions_of(sync_redis(), principal.account_id)
        except (RedisError, OSError):
            raise _unavailable() from None
        return _json({"data": found})

    @sessions_delete_schema
    def delete(self, request: Request) -> HttpResponse:
        principal = _principal(request)
        return _closed(principal, "")


class SessionView(StreamView):
    http_method_names = ["delete", "options"]

    @session_delete_schema
    def delete(self, request: Request, session_id: str) -> HttpResponse:
        principal = _principal(request)
        return _closed(principal, session_id)


def _closed(principal: Principal, session_id: str) -> HttpResponse:
    """Close one session of the account, or all; another account's is not found, like none."""
    try:
        open_now = [one["id"] for one in sessions_of(sync_redis(), principal.account_id)]
        if session_id and session_id not in open_now:
            raise errors.NotFound("There is no open session with this id.")
        control_send(CLOSE_SESSION, account_id=principal.account_id, session_id=session_id)
    except (RedisError, OSError):
        raise _unavailable() from None
    closed = [session_id] if session_id else open_now
    return _json({"closed": closed})
