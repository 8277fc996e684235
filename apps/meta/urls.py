"""Addresses under /v1/meta/."""

from __future__ import annotations

from django.urls import URLPattern, path

from apps.meta import views

urlpatterns: list[URLPattern] = [
    path("assets", views.AssetsView.as_view(), name="meta-assets"),
    path("venues", views.VenuesView.as_view(), name="meta-venues"),
    path("plans", views.PlansView.as_view(), name="meta-plans"),
    path("fields", views.FieldsView.as_view(), name="meta-fields"),
    path("status", views.StatusView.as_view(), name="meta-status"),
]
