"""Sign-up, sign-in, second factor, sessions; the customer's own data."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from apps.accounts import pages

urlpatterns: list[URLPattern | URLResolver] = [
    path("account/privacy/", pages.privacy, name="privacy"),
    path("account/privacy/export/", pages.export, name="privacy-export"),
    path("account/privacy/delete/", pages.delete, name="privacy-delete"),
    path("", include("allauth.urls")),
]
