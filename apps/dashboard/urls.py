"""Addresses of the pages."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import URLPattern, path
from django.views.generic import RedirectView
from django.views.i18n import set_language

from apps.dashboard import site, views
from apps.dashboard.openapi import openapi

urlpatterns: list[URLPattern] = [
    path("", site.landing, name="home"),
    path("pricing/", site.pricing, name="pricing"),
    path("theme/", site.set_theme, name="theme"),
    path("language/", set_language, name="language"),
    path("openapi.json", openapi, name="openapi"),
    path("docs", RedirectView.as_view(url="/docs/")),
    path("docs/", views.docs_index, name="docs"),
    path("docs/quickstart/", views.docs_quickstart, name="docs-quickstart"),
    path("docs/conventions/", views.docs_conventions, name="docs-conventions"),
    path("docs/errors/", views.docs_errors, name="docs-errors"),
    path("docs/test-faults/", views.docs_test_faults, name="docs-test-faults"),
    path("docs/markets/<slug:slug>/", views.docs_metric, name="docs-metric"),
    path("docs/reference/", views.docs_reference, name="docs-reference"),
    path("login/", LoginView.as_view(template_name="account/login.html"), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("account/api", views.account_api, name="account-api"),
]
