"""Addresses beside the sockets, under /v1/ws/."""

from __future__ import annotations

from django.urls import URLPattern, path

from apps.stream.views import SessionsView, SessionView, TicketView

urlpatterns: list[URLPattern] = [
    path("ticket", TicketView.as_view(), name="stream-ticket"),
    path("sessions", SessionsView.as_view(), name="stream-sessions"),
    path("sessions/<str:session_id>", SessionView.as_view(), name="stream-session"),
]
