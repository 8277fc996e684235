"""What happens in the double: buying, changing, failing, cancelling; each tells the platform by events."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

from apps.billing.double import objects
from apps.billing.double.state import Object, State, new_id


class Refused(Exception):
    """A request that Stripe would answer with 404 or 400."""

    def __init__(self, body: Object, status: int) -> None:
        super().__init__(body)
        self.body, self.status = body, status


class Ledger:
    """The double's rules. ``emit`` gets every event, in order."""

    def __init__(
        self,
        state: State,
        base: str,
        emit: Callable[[Object], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self.state, self._base, self._emit, self._now = state, base, emit, now

    def find(self, kind: str, wanted: str) -> Object:
        found = self.state[kind].get(wanted)
        if found is None:
            raise Refused(objects.missing(kind.rstrip("s"), wanted), 404)
        return found

    def customer_create(self, given: Object) -> Object:
        made = self.state.add("customers", objects.customer(self._s, given))
        self._tell("customer.created", made)
        return made

    def customer_change(self, customer_id: str, given: Object) -> Object:
        held = self.find("customers", customer_id)
        held.update({name: given[name] for name in ("email", "name") if name in given})
        self._tell("customer.updated", held)
        return held

    def customer_delete(self, customer_id: str) -> Object:
        """Its subscriptions end with it, and nothing new is made for it."""
        held = self.find("customers", customer_id)
        for subscription in self.state.of_customer("subscriptions", customer_id):
            self.cancel(subscription["id"])
        del self.state["customers"][customer_id]
        self._tell("customer.deleted", held)
        return {"id": customer_id, "object": "customer", "deleted": True}

    def product_create(self, given: Object) -> Object:
        return self.state.add("products", objects.product(self._s, given))

    def price_create(self, given: Object) -> Object:
        self.find("products", given["product"])
        return self.state.add("prices", objects.price(self._s, given))

    def session_create(self, given: Object) -> Object:
        self.find("customers", given["customer"])
        made = self.state.add("sessions", objects.session(self._s, given, self._base))
        # What the real session keeps to itself.
        made["_price"] = self.find("prices", given["line_items"][0]["price"])["id"]
        made["_subscription"] = given.get("subscription_data", {})
        return made

    def session_expire(self, session_id: str) -> Object:
        session = self.find("sessions", session_id)
        if session["status"] != "open":
            message = "Only Checkout Sessions with a status in [open] can be expired."
            raise Refused({"error": {"type": "invalid_request_error", "message": message}}, 400)
        session["status"] = "expired"
        self._tell("checkout.session.expired", session)
        return session

    def portal_create(self, given: Object) -> Object:
        self.find("customers", given["customer"])
        made: Object = {
            "id": new_id("bps"),
            "object": "billing_portal.session",
            "created": self._s,
            "customer": given["customer"],
            "return_url": given.get("return_url"),
            "livemode": False,
        }
        made["url"] = f"{self._base}/portal/{made['id']}"
        return self.state.add("portals", made)

    def pay(self, session_id: str) -> Object:
        """The visitor pays: subscription, invoice and charge come to be. A second time changes nothing."""
        session = self.find("sessions", session_id)
        if session["status"] != "open":
            return session
        data = session["_subscription"]
        trial_days = int(data.get("trial_period_days", 0))
        subscription = self.state.add(
            "subscriptions",
            objects.subscription(
                self._s,
                customer_id=session["customer"],
                price_object=self.find("prices", session["_price"]),
                trial_days=trial_days,
                metadata=data.get("metadata", {}),
            ),
        )
        session.update(status="complete", payment_status="paid", subscription=subscription["id"])
        self._tell("customer.subscription.created", subscription)
        amount = 0 if trial_days else self._amount(subscription)
        self._bill(subscription, amount, "subscription_create", is_paid=True)
        self._tell("checkout.session.completed", session)
        return session

    def renew(self, subscription_id: str, *, is_paid: bool) -> None:
        """The next period begins, with a card that works or not."""
        held = self._running(subscription_id)
        item = held["items"]["data"][0]
        item["current_period_start"] = self._s
        item["current_period_end"] = self._s + objects.MONTH_S
        held["status"] = "active" if is_paid else "past_due"
        self._bill(held, self._amount(held), "subscription_cycle", is_paid=is_paid)
        self._tell("customer.subscription.updated", held)

    def settle(self, subscription_id: str) -> None:
        """Pay what is overdue."""
        held = self._running(subscription_id)
        for invoice in self.state.of_customer("invoices", held["customer"]):
            if invoice["status"] == "open":
                self._mark_paid(invoice)
        held["status"] = "active"
        self._tell("customer.subscription.updated", held)

    def change(self, subscription_id: str, given: Object) -> Object:
        """Another price or another end, as the update endpoint takes them."""
        held = self._running(subscription_id)
        for wanted in given.get("items", []):
            price = self.find("prices", wanted["price"])
            item = held["items"]["data"][0]
            if wanted.get("id", item["id"]) != item["id"]:
                raise Refused(objects.missing("subscription_item", wanted["id"]), 404)
            if price["id"] != item["price"]["id"]:
                more = self._rest(item, price["unit_amount"] - item["price"]["unit_amount"])
                item["price"] = price
                if given.get("proration_behavior") == "always_invoice" and more > 0:
                    self._bill(held, more, "subscription_update", is_paid=True)
        if "cancel_at_period_end" in given:
            held["cancel_at_period_end"] = str(given["cancel_at_period_end"]).lower() == "true"
        self._tell("customer.subscription.updated", held)
        return held

    def cancel(self, subscription_id: str) -> Object:
        held = self.find("subscriptions", subscription_id)
        if held["status"] != "canceled":
            held.update(status="canceled", canceled_at=self._s, ended_at=self._s)
            self._tell("customer.subscription.deleted", held)
        return held

    def refund(self, customer_id: str, amount: int | None = None) -> None:
        """Give the newest paid invoice back, all of it or ``amount`` cents."""
        for charge in self.state.of_customer("charges", customer_id):
            if not charge["refunded"]:
                charge["amount_refunded"] = charge["amount"] if amount is None else amount
                charge["refunded"] = charge["amount_refunded"] == charge["amount"]
                self._tell("charge.refunded", charge)
                return

    def dispute(self, customer_id: str) -> Object:
        """The card's owner asks the bank for the newest payment back."""
        charge = self.state.of_customer("charges", customer_id)[0]
        charge["disputed"] = True
        made = self.state.add("disputes", objects.dispute(self._s, charge))
        self._tell("charge.dispute.created", made)
        return made

    def dispute_close(self, dispute_id: str, status: str) -> None:
        """``won`` or ``lost``."""
        held = self.find("disputes", dispute_id)
        held["status"] = status
        self._tell("charge.dispute.closed", held)

    def payments_of(self, payment_intent: str) -> list[Object]:
        """What one payment paid."""
        found = self.state["invoice_payments"].values()
        return [one for one in found if one["payment"]["payment_intent"] == payment_intent]

    def tax_id_add(self, customer_id: str, kind: str, value: str) -> None:
        made = {
            "id": new_id("txi"),
            "object": "tax_id",
            "created": self._s,
            "customer": customer_id,
            "type": kind,
            "value": value,
            "livemode": False,
        }
        self.state.add("tax_ids", made)
        self._tell("customer.tax_id.created", made)

    def _bill(self, held: Object, amount: int, reason: str, *, is_paid: bool) -> None:
        number = len(self.state["invoices"]) + 1
        made = self.state.add(
            "invoices",
            objects.invoice(
                self._s,
                subscription_object=held,
                amount=amount,
                number=number,
                base=self._base,
                reason=reason,
            ),
        )
        held["latest_invoice"] = made["id"]
        self._tell("invoice.finalized", made)
        if is_paid:
            self._mark_paid(made)
        else:
            made["attempt_count"] += 1
            self._tell("invoice.payment_failed", made)

    def _mark_paid(self, invoice: Object) -> None:
        invoice.update(status="paid", amount_paid=invoice["amount_due"], amount_remaining=0)
        if invoice["amount_due"]:
            charge = self.state.add("charges", objects.charge(self._s, invoice))
            paid = objects.invoice_payment(self._s, invoice, charge)
            self.state.add("invoice_payments", paid)
        self._tell("invoice.paid", invoice)

    def _running(self, subscription_id: str) -> Object:
        held = self.find("subscriptions", subscription_id)
        if held["status"] == "canceled":
            message = "A canceled subscription can only update its cancellation_details."
            raise Refused({"error": {"type": "invalid_request_error", "message": message}}, 400)
        return held

    def _rest(self, item: Object, amount: int) -> int:
        """What of a period's amount falls on the rest of it."""
        start, end = item["current_period_start"], item["current_period_end"]
        return round(int(amount) * max(0, int(end) - self._s) / max(1, int(end) - int(start)))

    @staticmethod
    def _amount(held: Object) -> int:
        return int(held["items"]["data"][0]["price"]["unit_amount"])

    @property
    def _s(self) -> int:
        return int(self._now())

    def _tell(self, kind: str, about: Object) -> None:
        self._emit(objects.event(self._s, kind, public(about)))


def public(made: Any) -> Any:
    """An object without what Stripe keeps to itself."""
    if not isinstance(made, dict):
        return made
    return {key: copy.deepcopy(value) for key, value in made.items() if not key.startswith("_")}
