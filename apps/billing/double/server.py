"""A small Stripe on loopback: its REST as far as we use it, its webhooks, a checkout and a portal page.

For rehearsal and tests. It keeps its objects in one file, so that a restart goes on where it was.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from apps.billing.double import objects, pages
from apps.billing.double.delivery import Courier
from apps.billing.double.forms import nested
from apps.billing.double.ledger import Ledger, Refused, public
from apps.billing.double.state import Object, State

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class DoubleConfig:
    port: int
    api_key: str
    webhook_url: str
    webhook_secret: str
    state_path: Path

    @property
    def base(self) -> str:
        return f"http://{_HOST}:{self.port}"


class Double:
    """``emit`` replaces delivery over HTTP (tests)."""

    def __init__(self, config: DoubleConfig, emit: Callable[[Object], None] | None = None) -> None:
        self._config = config
        self.state = State(config.state_path)
        self.courier = Courier(config.webhook_url, config.webhook_secret, self._delivered)
        self.ledger = Ledger(self.state, config.base, emit or self._emit)
        for event in list(self.state["events"].values()):
            # What an earlier run did not get rid of.
            self.courier.emit(event)

    def _emit(self, event: Object) -> None:
        self.state.add("events", event)
        self.courier.emit(event)

    def _delivered(self, event: Object) -> None:
        self.state["events"].pop(event["id"], None)
        self.state.save()

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        made, ledger = self._made, self.ledger
        app.add_routes(
            [
                web.post("/v1/customers", made(ledger.customer_create)),
                web.get("/v1/customers/{id}", self._got("customers")),
                web.post("/v1/customers/{id}", self._customer_changed),
                web.delete("/v1/customers/{id}", self._customer_deleted),
                web.get("/v1/customers/{id}/tax_ids", self._tax_ids),
                web.post("/v1/products", made(ledger.product_create)),
                web.post("/v1/prices", made(ledger.price_create)),
                web.post("/v1/checkout/sessions", made(ledger.session_create)),
                web.get("/v1/checkout/sessions", self._list("sessions")),
                web.get("/v1/checkout/sessions/{id}", self._got("sessions")),
                web.post("/v1/checkout/sessions/{id}/expire", self._expire),
                web.post("/v1/billing_portal/sessions", made(ledger.portal_create)),
                web.get("/v1/subscriptions", self._list("subscriptions")),
                web.get("/v1/subscriptions/{id}", self._got("subscriptions")),
                web.post("/v1/subscriptions/{id}", self._change),
                web.delete("/v1/subscriptions/{id}", self._cancel),
                web.get("/v1/invoices", self._list("invoices")),
                web.get("/v1/invoices/{id}", self._got("invoices")),
                web.get("/v1/invoice_payments", self._payments),
                web.get("/v1/charges/{id}", self._got("charges")),
                web.get("/v1/disputes/{id}", self._got("disputes")),
                web.get("/checkout/{id}", self._checkout),
                web.post("/checkout/{id}/{do}", self._checkout_done),
                web.get("/portal/{id}", self._portal),
                web.post("/portal/{id}", self._portal_done),
                web.get("/invoice/{id}", self._invoice),
            ]
        )
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The key, Stripe's error shape, and one save after each change."""
        if request.path.startswith("/v1/") and not self._has_key(request):
            error = {"type": "invalid_request_error", "message": "Invalid API Key provided"}
            return web.json_response({"error": error}, status=401)
        try:
            response = await handler(request)
        except Refused as refused:
            return web.json_response(refused.body, status=refused.status)
        except (KeyError, ValueError, IndexError) as error:
            message = f"Missing or invalid parameter: {error}"
            body = {"error": {"type": "invalid_request_error", "message": message}}
            return web.json_response(body, status=400)
        if request.method != "GET":
            self.state.save()
        return response

    def _has_key(self, request: web.Request) -> bool:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            with contextlib.suppress(ValueError):
                given = base64.b64decode(given).decode("latin-1").partition(":")[0]
        return hmac.compare_digest(given.encode(), self._config.api_key.encode())

    def _made(self, create: Callable[[Object], Object]) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._once(request, create)

        return handle

    async def _once(
        self, request: web.Request, work: Callable[[Object], Object]
    ) -> web.StreamResponse:
        """What is asked again under the same key is answered again, and not done."""
        repeat = request.headers.get("Idempotency-Key", "")
        known = self.state["idempotency"].get(repeat)
        if known is None:
            known = public(work(nested(await _fields(request))))
            if repeat:
                self.state["idempotency"][repeat] = known
        return web.json_response(known)

    def _got(self, kind: str) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return web.json_response(public(self.ledger.find(kind, request.match_info["id"])))

        return handle

    def _list(self, kind: str) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            found = self.state.of_customer(kind, request.query["customer"])
            status = request.query.get("status", "all")
            found = [item for item in found if status in ("all", item["status"])]
            limit = int(request.query.get("limit", 10))
            shown = [public(item) for item in found[:limit]]
            return web.json_response(objects.listed(shown, request.path))

        return handle

    async def _tax_ids(self, request: web.Request) -> web.StreamResponse:
        found = self.state.of_customer("tax_ids", request.match_info["id"])
        return web.json_response(objects.listed(found, request.path))

    async def _customer_changed(self, request: web.Request) -> web.StreamResponse:
        given = nested(await _fields(request))
        return web.json_response(self.ledger.customer_change(request.match_info["id"], given))

    async def _customer_deleted(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self.ledger.customer_delete(request.match_info["id"]))

    async def _expire(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(public(self.ledger.session_expire(request.match_info["id"])))

    async def _payments(self, request: web.Request) -> web.StreamResponse:
        paid = self.ledger.payments_of(request.query["payment[payment_intent]"])
        return web.json_response(objects.listed(paid, request.path))

    async def _change(self, request: web.Request) -> web.StreamResponse:
        held = request.match_info["id"]
        return await self._once(request, lambda given: self.ledger.change(held, given))

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(public(self.ledger.cancel(request.match_info["id"])))

    async def _checkout(self, request: web.Request) -> web.StreamResponse:
        session = self.ledger.find("sessions", request.match_info["id"])
        price = self.ledger.find("prices", session["_price"])
        product = self.ledger.find("products", price["product"])
        return _html(pages.checkout(session, product, price))

    async def _checkout_done(self, request: web.Request) -> web.StreamResponse:
        session = self.ledger.find("sessions", request.match_info["id"])
        if request.match_info["do"] != "pay":
            raise web.HTTPSeeOther(session["cancel_url"])
        self.ledger.pay(session["id"])
        self.state.save()
        raise web.HTTPSeeOther(session["success_url"])

    async def _portal(self, request: web.Request) -> web.StreamResponse:
        session = self.ledger.find("portals", request.match_info["id"])
        subscriptions = self.state.of_customer("subscriptions", session["customer"])
        prices = [
            (price, self.state["products"][price["product"]]["name"])
            for price in self.state["prices"].values()
        ]
        return _html(pages.portal(session, subscriptions, prices))

    async def _portal_done(self, request: web.Request) -> web.StreamResponse:
        session = self.ledger.find("portals", request.match_info["id"])
        given = dict(await _fields(request))
        held = given.get("of", "")
        if held:
            owner = self.ledger.find("subscriptions", held)["customer"]
            if owner != session["customer"]:
                raise Refused(objects.missing("subscription", held), 404)
        self._do(given, held, session["customer"])
        return _html(pages.page("Done", f'<p>Done.</p><p><a href="{request.path}">Back</a></p>'))

    def _do(self, given: dict[str, str], held: str, customer: str) -> None:
        ledger = self.ledger
        actions: dict[str, Callable[[], Any]] = {
            "change": lambda: ledger.change(held, {"items": [{"price": given["price"]}]}),
            "cancel": lambda: ledger.cancel(held),
            "cancel_later": lambda: ledger.change(held, {"cancel_at_period_end": "true"}),
            "resume": lambda: ledger.change(held, {"cancel_at_period_end": "false"}),
            "renew": lambda: ledger.renew(held, is_paid=True),
            "fail": lambda: ledger.renew(held, is_paid=False),
            "settle": lambda: ledger.settle(held),
            "refund": lambda: ledger.refund(customer),
            "tax_id": lambda: ledger.tax_id_add(customer, "eu_vat", "PL1234567890"),
        }
        actions[given["do"]]()

    async def _invoice(self, request: web.Request) -> web.StreamResponse:
        return _html(pages.invoice(self.ledger.find("invoices", request.match_info["id"])))


async def _fields(request: web.Request) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in (await request.post()).items()]


def _html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html")


async def serve(config: DoubleConfig, *, started: asyncio.Event | None = None) -> None:
    """Run until cancelled."""
    double = Double(config)
    runner = web.AppRunner(double.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, _HOST, config.port).start()
    courier = asyncio.create_task(double.courier.run())
    if started is not None:
        started.set()
    try:
        await courier
    finally:
        courier.cancel()
        await runner.cleanup()
