"""Staff sign in with a second factor, or see nothing of the admin; its pages load nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

_ADMIN: Final = "/admin/"
# The theme's scripts stand in its pages and are evaluated; nothing of it comes from or goes elsewhere.
_ADMIN_POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


class StaffMfaMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(_ADMIN):
            return self.get_response(request)
        if self._must_enrol(request):
            messages.warning(request, _("Staff need a second factor: set up an app first."))
            return HttpResponseRedirect(reverse("mfa_activate_totp"))
        response = self.get_response(request)
        response.headers["Content-Security-Policy"] = _ADMIN_POLICY
        return response

    def _must_enrol(self, request: HttpRequest) -> bool:
        user = request.user
        if not settings.STAFF_NEED_MFA or not user.is_authenticated or not user.is_staff:
            return False
        return not is_mfa_enabled(user)
