"""Stripe's objects as the double makes them: the fields that we read, named and typed as Stripe's own."""

from __future__ import annotations

from typing import Any, Final

from apps.billing.double.state import Object, new_id

MONTH_S: Final = 30 * 86_400
API_VERSION: Final = "2026-10-28.endive"


def customer(now_s: int, given: Object) -> Object:
    return {
        "id": new_id("cus"),
        "object": "customer",
        "created": now_s,
        "email": given.get("email"),
        "name": given.get("name"),
        "metadata": given.get("metadata", {}),
        "livemode": False,
    }


def product(now_s: int, given: Object) -> Object:
    return {
        "id": new_id("prod"),
        "object": "product",
        "active": True,
        "created": now_s,
        "name": given["name"],
        "metadata": given.get("metadata", {}),
        "livemode": False,
    }


def price(now_s: int, given: Object) -> Object:
    return {
        "id": new_id("price"),
        "object": "price",
        "active": True,
        "created": now_s,
        "currency": given["currency"],
        "product": given["product"],
        "recurring": {"interval": given["recurring"]["interval"], "interval_count": 1},
        "type": "recurring",
        "unit_amount": int(given["unit_amount"]),
        "metadata": given.get("metadata", {}),
        "livemode": False,
    }


def session(now_s: int, given: Object, base: str) -> Object:
    made = new_id("cs_test")
    return {
        "id": made,
        "object": "checkout.session",
        "created": now_s,
        "mode": given["mode"],
        "status": "open",
        "payment_status": "unpaid",
        "customer": given["customer"],
        "client_reference_id": given.get("client_reference_id"),
        "subscription": None,
        "success_url": given["success_url"],
        "cancel_url": given.get("cancel_url"),
        "metadata": given.get("metadata", {}),
        "url": f"{base}/checkout/{made}",
        "livemode": False,
    }


def subscription(
    now_s: int, *, customer_id: str, price_object: Object, trial_days: int, metadata: Object
) -> Object:
    made = new_id("sub")
    trial_end = now_s + trial_days * 86_400 if trial_days else None
    item = {
        "id": new_id("si"),
        "object": "subscription_item",
        "created": now_s,
        "quantity": 1,
        "subscription": made,
        "price": price_object,
        "current_period_start": now_s,
        "current_period_end": trial_end or now_s + MONTH_S,
        "metadata": {},
    }
    return {
        "id": made,
        "object": "subscription",
        "created": now_s,
        "start_date": now_s,
        "status": "trialing" if trial_days else "active",
        "customer": customer_id,
        "currency": price_object["currency"],
        "items": {
            "object": "list",
            "data": [item],
            "has_more": False,
            "url": "/v1/subscription_items",
        },
        "cancel_at_period_end": False,
        "canceled_at": None,
        "ended_at": None,
        "trial_end": trial_end,
        "latest_invoice": None,
        "metadata": metadata,
        "livemode": False,
    }


def invoice(
    now_s: int, *, subscription_object: Object, amount: int, number: int, base: str, reason: str
) -> Object:
    made = new_id("in")
    item = subscription_object["items"]["data"][0]
    return {
        "id": made,
        "object": "invoice",
        "created": now_s,
        "number": f"DOUBLE-{number:04d}",
        "status": "open",
        "billing_reason": reason,
        "currency": subscription_object["currency"],
        "customer": subscription_object["customer"],
        "amount_due": amount,
        "amount_paid": 0,
        "amount_remaining": amount,
        "attempt_count": 0,
        "hosted_invoice_url": f"{base}/invoice/{made}",
        "invoice_pdf": f"{base}/invoice/{made}",
        "parent": {
            "type": "subscription_details",
            "quote_details": None,
            "subscription_details": {"subscription": subscription_object["id"], "metadata": {}},
        },
        "period_start": item["current_period_start"],
        "period_end": item["current_period_end"],
        "total": amount,
        "livemode": False,
    }


def charge(now_s: int, invoice_object: Object) -> Object:
    return {
        "id": new_id("ch"),
        "object": "charge",
        "created": now_s,
        "amount": invoice_object["amount_due"],
        "amount_refunded": 0,
        "currency": invoice_object["currency"],
        "customer": invoice_object["customer"],
        "disputed": False,
        "payment_intent": new_id("pi"),
        "paid": True,
        "refunded": False,
        "status": "succeeded",
        "livemode": False,
    }


def invoice_payment(now_s: int, invoice_object: Object, charge_object: Object) -> Object:
    """Which invoice a payment was for: a charge itself does not say it any more."""
    return {
        "id": new_id("inpay"),
        "object": "invoice_payment",
        "created": now_s,
        "amount_paid": charge_object["amount"],
        "amount_requested": charge_object["amount"],
        "currency": charge_object["currency"],
        "invoice": invoice_object["id"],
        "is_default": True,
        "payment": {"type": "payment_intent", "payment_intent": charge_object["payment_intent"]},
        "status": "paid",
        "livemode": False,
    }


def dispute(now_s: int, charge_object: Object) -> Object:
    return {
        "id": new_id("dp"),
        "object": "dispute",
        "created": now_s,
        "amount": charge_object["amount"],
        "currency": charge_object["currency"],
        "charge": charge_object["id"],
        "payment_intent": charge_object["payment_intent"],
        "reason": "fraudulent",
        "status": "needs_response",
        "livemode": False,
    }


def event(now_s: int, kind: str, about: Object) -> Object:
    return {
        "id": new_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": now_s,
        "type": kind,
        "data": {"object": about},
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "livemode": False,
    }


def listed(found: list[Any], url: str) -> Object:
    return {"object": "list", "data": found, "has_more": False, "url": url}


def missing(kind: str, wanted: str) -> Object:
    return {
        "error": {
            "type": "invalid_request_error",
            "code": "resource_missing",
            "message": f"No such {kind}: '{wanted[:60]}'",
            "param": "id",
        }
    }
