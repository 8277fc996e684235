"""Views of every kind of answer, behind the real middleware, authentication and permission."""

from __future__ import annotations

from typing import Any, cast

from django.http import StreamingHttpResponse
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.keys.authentication import Principal


class Layer1View(APIView):
    layer = "L1"
    metric = "markets.test"

    def get(self, request: Request) -> Response:
        status = int(request.query_params.get("status", "200"))
        principal = cast(Principal, request.user)
        return Response({"plan": principal.plan, "pk": principal.pk}, status=status)

    def post(self, request: Request) -> Response:
        return Response({})


class Layer2View(Layer1View):
    layer = "L2"


class BrokenView(APIView):
    layer = "L1"

    def get(self, request: Request) -> Response:
        raise RuntimeError("a defect")


class StreamView(APIView):
    layer = "L1"

    def get(self, request: Request) -> Any:
        return StreamingHttpResponse(iter([b"12345", b"678"]))


urlpatterns = [
    path("v1/one", Layer1View.as_view()),
    path("v1/two", Layer2View.as_view()),
    path("v1/broken", BrokenView.as_view()),
    path("v1/stream", StreamView.as_view()),
]
