"""Health addresses: public, keyless, uncounted."""

from __future__ import annotations

from django.urls import URLPattern, path

from apps.core.health import live, readiness_view
from apps.edge.readiness import ALL_CHECKS

urlpatterns: list[URLPattern] = [
    path("live", live, name="health-live"),
    path("ready", readiness_view(ALL_CHECKS), name="health-ready"),
]
