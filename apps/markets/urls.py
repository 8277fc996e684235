"""Addresses of layer 1, under /v1/markets/."""

from __future__ import annotations

from django.urls import URLPattern, path

from apps.markets.views import (
    BasisViewSet,
    FundingViewSet,
    LiquidationsViewSet,
    OhlcvViewSet,
    OpenInterestViewSet,
    PositioningViewSet,
    VolumeFlowViewSet,
)

urlpatterns: list[URLPattern] = [
    path("funding", FundingViewSet.as_view({"get": "retrieve"}), name="markets-funding"),
    path(
        "open-interest",
        OpenInterestViewSet.as_view({"get": "retrieve"}),
        name="markets-open-interest",
    ),
    path("basis", BasisViewSet.as_view({"get": "retrieve"}), name="markets-basis"),
    path(
        "liquidations",
        LiquidationsViewSet.as_view({"get": "retrieve"}),
        name="markets-liquidations",
    ),
    path("ohlcv", OhlcvViewSet.as_view({"get": "retrieve"}), name="markets-ohlcv"),
    path(
        "positioning",
        PositioningViewSet.as_view({"get": "retrieve"}),
        name="markets-positioning",
    ),
    path("volume-flow", VolumeFlowViewSet.as_view({"get": "retrieve"}), name="markets-volume-flow"),
]
