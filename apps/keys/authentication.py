"""Who calls: an API key, or a signed-in page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.core.exceptions import TooManyFieldsSent
from django.http import HttpRequest, HttpResponse
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.request import Request

from apps.accounts.models import User
from apps.core import errors
from apps.core.clock import market_clock
from apps.core.ids import new_request_id
from apps.core.params import request_cost
from apps.keys.format import environment_of, hash_key, is_well_formed
from apps.tiers import gate
from apps.tiers.admission import Admission, AdmissionRequest, SessionRequest
from apps.tiers.headers import (
    MALFORMED_KEY_DETAIL,
    MISSING_KEY_DETAIL,
    refusal,
    wrong_environment,
)
from apps.tiers.selectors import layer_plans

if TYPE_CHECKING:
    from rest_framework.views import APIView

# Staff without an account look at every layer through the pages.
_STAFF_RATE: Final = 300
_ALL_LAYERS: Final = frozenset({"L1", "L2", "L3", "L4"})
_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller as views see it; ``key_id`` is 0 for pages, ``user_id`` 0 for keys."""

    account_id: int
    key_id: int
    user_id: int
    plan: str
    layers: frozenset[str]
    is_authenticated: bool = True

    @property
    def pk(self) -> str:
        return f"key:{self.key_id}" if self.key_id else f"user:{self.user_id}"


def key_from_headers(api_key: str | None, authorization: str | None) -> str | None:
    """The key as sent, X-API-Key first; None when neither header carries one."""
    if api_key:
        return api_key.strip()
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def checked_key_hash(key: str, environment: str) -> str:
    """The key's hash, or the 401 that form and prefix alone allow: no look-up for a typo."""
    if not is_well_formed(key):
        raise errors.InvalidApiKey(MALFORMED_KEY_DETAIL)
    if environment_of(key) != environment:
        raise wrong_environment(environment)
    return hash_key(key)


def principal_of(admission: Admission) -> Principal:
    return Principal(
        account_id=admission.account_id,
        key_id=admission.key_id,
        user_id=admission.user_id,
        plan=admission.plan,
        layers=admission.layers,
    )


class ApiKeyAuthentication(BaseAuthentication):
    """Takes the edge's decision when there is one, else asks the gate; refusals are problem documents."""

    def authenticate(self, request: Request) -> tuple[Principal, Admission]:
        django_request = request._request
        admission = _edge_decision(django_request) or self._decide(request, django_request)
        # The usage middleware reads it for headers and the completion, whatever the view answers.
        django_request.focsal_admission = admission  # type: ignore[attr-defined]
        problem = refusal(admission, settings.KEY_ENVIRONMENT)
        if problem is not None:
            raise problem
        return principal_of(admission), admission

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="focsal"'

    def _decide(self, request: Request, django_request: HttpRequest) -> Admission:
        headers = django_request.headers
        key = key_from_headers(headers.get("X-API-Key"), headers.get("Authorization"))
        view = request.parser_context.get("view") if request.parser_context else None
        if key is None:
            return _session_admission(django_request, view)
        key_hash = checked_key_hash(key, settings.KEY_ENVIRONMENT)
        return gate.admit(
            AdmissionRequest(
                key_hash=key_hash,
                request_id=getattr(django_request, "request_id", "") or new_request_id(),
                cost=request_cost(django_request.path, django_request.META.get("QUERY_STRING", "")),
                layer=getattr(view, "layer", None),
                metric=getattr(view, "metric", None),
                asset=_snapshot_asset(view, django_request),
                if_none_match=headers.get("If-None-Match"),
                market_now_ms=market_clock.now_ms(),
                path=django_request.path,
                method=django_request.method or "GET",
                params=_logged_params(django_request),
                client_ip=django_request.META.get("REMOTE_ADDR", ""),
            )
        )


def _snapshot_asset(view: APIView | None, request: HttpRequest) -> str | None:
    """A view that serves published snapshots says which one is asked for; a 304 is then not charged."""
    ask: Callable[[HttpRequest], str | None] | None = getattr(view, "snapshot_asset", None)
    return None if ask is None else ask(request)


def _edge_decision(request: HttpRequest) -> Admission | None:
    admission = getattr(request, "scope", {}).get("focsal.admission")
    return admission if isinstance(admission, Admission) else None


# Only known parameters are kept in the usage log: a query string may carry anything, a key too.
_LOGGED = "asset assets venue interval from to as_of limit format aggregate expiry tf"
LOGGED_PARAMS: Final = tuple(_LOGGED.split())


def _logged_params(request: HttpRequest) -> str:
    try:
        query = request.GET
    except TooManyFieldsSent:
        # The view answers 400; the log keeps nothing of it.
        return ""
    return "&".join(f"{name}={query[name][:60]}" for name in LOGGED_PARAMS if name in query)


def _session_admission(request: HttpRequest, view: APIView | None) -> Admission:
    user = getattr(request, "user", None)
    if not isinstance(user, User) or not user.is_active:
        raise errors.MissingApiKey(MISSING_KEY_DETAIL)
    if request.method not in _SAFE_METHODS:
        _check_page_may_write(request, view)
    account = user.account
    if account is None and not user.is_staff:
        raise errors.MissingApiKey(MISSING_KEY_DETAIL)
    plan = account.plan if account else None
    return gate.admit_session(
        SessionRequest(
            user_id=user.pk,
            account_id=account.pk if account else 0,
            plan=plan.slug if plan else "staff",
            layers=frozenset(plan.layers) if plan else _ALL_LAYERS,
            rate_per_minute=plan.rate_per_minute if plan else _STAFF_RATE,
            layer=getattr(view, "layer", None),
            layer_plans=layer_plans(),
        )
    )


def _check_page_may_write(request: HttpRequest, view: APIView | None) -> None:
    """Only where the view says so, and only with the page's own token: cookies come from any site."""
    if not getattr(view, "pages_may_post", False):
        raise errors.MissingApiKey(MISSING_KEY_DETAIL)
    check = CSRFCheck(_nothing)
    check.process_request(request)
    if check.process_view(request, _nothing, (), {}) is not None:
        raise errors.MissingApiKey(
            "A page that calls without a key sends its CSRF token as X-CSRFToken."
        )


def _nothing(_: HttpRequest) -> HttpResponse:
    return HttpResponse()
