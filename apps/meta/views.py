"""/v1/meta/*: public, keyless, uncounted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.request import Request

from apps.core.jsonout import dumps
from apps.core.params import QueryParams
from apps.core.rest import ReadOnlyView
from apps.core.schema import problem_responses, publish_schemas, ref
from apps.marketdata.clocksync import sync_market_clock
from apps.meta import selectors
from apps.meta.contracts import Assets, Fields, Plans, Status, Venues
from apps.meta.examples import EXAMPLES

publish_schemas([Assets, Venues, Plans, Fields, Status])
_PROBLEMS = ("invalid_parameter", "method_not_allowed", "internal")


class MetaView(ReadOnlyView):
    """Takes no parameters and no key; a cache may keep the answer for some seconds."""

    authentication_classes = ()
    permission_classes = ()
    read: ClassVar[Callable[[], msgspec.Struct]]
    max_age_s: ClassVar[int] = 10

    def answer(self, request: Request) -> HttpResponse:
        QueryParams.parse(request.META.get("QUERY_STRING", ""), ())
        sync_market_clock()
        payload = msgspec.to_builtins(type(self).read())
        response = HttpResponse(dumps(payload), content_type="application/json")
        response["Cache-Control"] = f"public, max-age={self.max_age_s}"
        return response


def _documented(
    contract: type[msgspec.Struct], operation: str, summary: str
) -> Callable[[Any], Any]:
    decorator: Callable[[Any], Any] = extend_schema(
        operation_id=operation,
        tags=["Meta"],
        summary=summary,
        description=f"{summary}. Public, needs no key, counts nothing.",
        auth=[],
        responses={
            (200, "application/json"): OpenApiResponse(response=ref(contract)),
            **problem_responses(*_PROBLEMS),
        },
        examples=[
            OpenApiExample(
                operation, value=EXAMPLES[operation], response_only=True, status_codes=["200"]
            )
        ],
    )
    return decorator


class AssetsView(MetaView):
    read = staticmethod(selectors.assets)

    @_documented(Assets, "meta_assets", "Assets: tier, cadence, venues, stored history, freshness")
    def get(self, request: Request) -> HttpResponse:
        return self.answer(request)


class VenuesView(MetaView):
    read = staticmethod(selectors.venues)

    @_documented(Venues, "meta_venues", "Venues and how they are doing")
    def get(self, request: Request) -> HttpResponse:
        return self.answer(request)


class PlansView(MetaView):
    read = staticmethod(selectors.plans)
    max_age_s = 60

    @_documented(Plans, "meta_plans", "Plans, prices and limits")
    def get(self, request: Request) -> HttpResponse:
        return self.answer(request)


class FieldsView(MetaView):
    read = staticmethod(selectors.fields)
    max_age_s = 3600

    @_documented(Fields, "meta_fields", "Glossary: meaning, unit, range and origin of every field")
    def get(self, request: Request) -> HttpResponse:
        return self.answer(request)


class StatusView(MetaView):
    read = staticmethod(selectors.status)
    max_age_s = 5

    @_documented(Status, "meta_status", "Status of each part of the service and of each venue")
    def get(self, request: Request) -> HttpResponse:
        return self.answer(request)
