"""``/v1/webhooks``: an account's own webhooks by API key. Every look-up names the caller's account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.accounts.models import Account
from apps.alerts import schema, shapes
from apps.alerts.events import event_test, redeliver
from apps.alerts.idempotency import answered_once
from apps.alerts.models import Delivery, Webhook
from apps.alerts.registry import all_types
from apps.alerts.selectors import deliveries_of, delivery_of, webhook_of, webhooks_of
from apps.alerts.webhooks import (
    checked_object,
    checked_words,
    secret_rotate,
    webhook_create,
    webhook_update,
)
from apps.core.errors import NotFound
from apps.core.jsonout import dumps
from apps.core.params import QueryParams, invalid, shown
from apps.core.rest import FormatIsAParameter
from apps.keys.authentication import Principal

DEFAULT_TEST: Final = "liquidation.spike"


class AccountView(APIView):
    """Keyed and counted as any request."""

    content_negotiation_class = FormatIsAParameter
    layer = "L1"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        QueryParams.parse(request.META.get("QUERY_STRING", ""), ())

    def finalize_response(  # type: ignore[override]  # ready bytes are Django responses
        self, request: Request, response: Any, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        final: HttpResponseBase = super().finalize_response(request, response, *args, **kwargs)
        if final.status_code != 405 and request.method != "OPTIONS":
            final.headers.pop("Allow", None)
        final.headers["Cache-Control"] = "no-store"
        return final

    @property
    def account(self) -> Account:
        principal: Any = self.request.user
        caller: Principal = principal
        found = Account.objects.select_related("plan").filter(pk=caller.account_id).first()
        if found is None:
            raise NotFound("This user belongs to no customer account.")
        return found

    def given(self) -> Any:
        """The request's JSON; none at all is an empty object."""
        body: bytes = self.request.body
        if not body.strip():
            return {}
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            received = shown(body[:60].decode("utf-8", "replace"))[1:-1]
            raise invalid("body", "a JSON object", received) from None

    def done_once(self, work: Callable[[], tuple[int, Any]]) -> HttpResponse:
        """``work`` answers status and payload; with an Idempotency-Key it is done once."""
        return answered_once(self.request._request, self.account, work)


def answer(payload: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(dumps(payload), status=status, content_type="application/json")


class WebhookView(AccountView):
    def webhook(self, webhook_id: int) -> Webhook:
        found = webhook_of(self.account.pk, webhook_id)
        if found is None:
            raise NotFound("No such webhook.")
        return found


class WebhookList(WebhookView):
    http_method_names = ["get", "post", "head", "options"]

    @schema.webhook_list
    def get(self, request: Request) -> HttpResponse:
        return answer({"data": [shapes.webhook(one) for one in webhooks_of(self.account.pk)]})

    @schema.webhook_create
    def post(self, request: Request) -> HttpResponse:
        def work() -> tuple[int, Any]:
            created = webhook_create(self.account, self.given())
            return 201, {**shapes.webhook(created.webhook), "secret": created.secret}

        return self.done_once(work)


class WebhookDetail(WebhookView):
    http_method_names = ["get", "patch", "delete", "head", "options"]

    @schema.webhook_show
    def get(self, request: Request, webhook_id: int) -> HttpResponse:
        return answer(shapes.webhook(self.webhook(webhook_id)))

    @schema.webhook_change
    def patch(self, request: Request, webhook_id: int) -> HttpResponse:
        def work() -> tuple[int, Any]:
            changed = webhook_update(self.webhook(webhook_id), self.given())
            return 200, shapes.webhook(changed)

        return self.done_once(work)

    @schema.webhook_delete
    def delete(self, request: Request, webhook_id: int) -> HttpResponse:
        self.webhook(webhook_id).delete()
        return HttpResponse(status=204)


class WebhookRotate(WebhookView):
    http_method_names = ["post", "options"]

    @schema.webhook_rotate
    def post(self, request: Request, webhook_id: int) -> HttpResponse:
        def work() -> tuple[int, Any]:
            rotated = secret_rotate(self.webhook(webhook_id))
            return 200, {**shapes.webhook(rotated.webhook), "secret": rotated.secret}

        return self.done_once(work)


class WebhookTest(WebhookView):
    http_method_names = ["post", "options"]

    @schema.webhook_test
    def post(self, request: Request, webhook_id: int) -> HttpResponse:
        def work() -> tuple[int, Any]:
            given = checked_object(self.given(), ("event",))
            names = tuple(one.name for one in all_types())
            name = checked_words("event", [given.get("event", DEFAULT_TEST)], names)[0]
            return 202, shapes.delivery(event_test(self.webhook(webhook_id), name))

        return self.done_once(work)


class DeliveryList(WebhookView):
    """The newest hundred, with every attempt."""

    http_method_names = ["get", "head", "options"]

    @schema.delivery_list
    def get(self, request: Request, webhook_id: int) -> HttpResponse:
        found = deliveries_of(self.webhook(webhook_id))
        return answer({"data": [shapes.delivery(one) for one in found]})


class DeliveryResend(WebhookView):
    http_method_names = ["post", "options"]

    @schema.delivery_resend
    def post(self, request: Request, webhook_id: int, delivery_id: int) -> HttpResponse:
        def work() -> tuple[int, Any]:
            return 202, shapes.delivery(redeliver(self.delivery(webhook_id, delivery_id)))

        return self.done_once(work)

    def delivery(self, webhook_id: int, delivery_id: int) -> Delivery:
        found = delivery_of(self.webhook(webhook_id), delivery_id)
        if found is None:
            raise NotFound("No such delivery.")
        return found


class EventTypes(AccountView):
    """What there is to be told, with the schema of each event's data."""

    http_method_names = ["get", "head", "options"]

    @schema.event_types
    def get(self, request: Request) -> HttpResponse:
        return answer({"data": [shapes.event_type(one) for one in all_types()]})
