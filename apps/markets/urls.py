"""Addresses of layer 1, under /v1/markets/."""

from __future__ import annotations

from django.urls import URLPattern, path

from apps.markets.views import FundingViewSet, VolumeFlowViewSet

urlpatterns: list[URLPattern] = [
    path("funding", FundingViewSet.as_view({"get": "retrieve"}), name="markets-funding"),
    path("volume-flow", VolumeFlowViewSet.as_view({"get": "retrieve"}), name="markets-volume-flow"),
]
