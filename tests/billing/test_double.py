"""The double speaks as Stripe does: its objects have no field that Stripe's own examples lack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import stripe

from apps.billing.client import stripe_client
from apps.billing.double.forms import nested
from apps.billing.double.ledger import public
from focsal.settings.environment import BASE_DIR
from tests.billing.conftest import StripeDouble

FIXTURES = Path(BASE_DIR).parent / "shared" / "stripe" / "fixtures3.json"


def test_forms_become_objects() -> None:
    pairs = [("a", "1"), ("b[0][c]", "2"), ("b[1][c]", "3"), ("d[e][f]", "4"), ("g[h]", "5")]
    assert nested(pairs) == {
        "a": "1",
        "b": [{"c": "2"}, {"c": "3"}],
        "d": {"e": {"f": "4"}},
        "g": {"h": "5"},
    }


@pytest.fixture
def bought(stripe_double: StripeDouble) -> dict[str, Any]:
    """One object of each kind, made by a purchase."""
    client = stripe_client().v1
    customer = client.customers.create(params={"email": "a@example.com"})
    product = client.products.create(params={"name": "FOCSAL Pro"})
    price = client.prices.create(
        params={
            "product": product.id,
            "currency": "usd",
            "unit_amount": 10_000,
            "recurring": {"interval": "month"},
        }
    )
    session = client.checkout.sessions.create(
        params={
            "mode": "subscription",
            "customer": customer.id,
            "line_items": [{"price": price.id, "quantity": 1}],
            "success_url": "http://127.0.0.1/ok",
        }
    )
    stripe_double.ledger.pay(session.id)
    stripe_double.ledger.dispute(customer.id)
    state = stripe_double.double.state
    return {
        "customer": state["customers"][customer.id],
        "product": state["products"][product.id],
        "price": state["prices"][price.id],
        "checkout.session": public(state["sessions"][session.id]),
        "subscription": next(iter(state["subscriptions"].values())),
        "invoice": next(iter(state["invoices"].values())),
        "charge": next(iter(state["charges"].values())),
        "invoice_payment": next(iter(state["invoice_payments"].values())),
        "dispute": next(iter(state["disputes"].values())),
        "event": stripe_double.events[0],
    }


@pytest.mark.django_db
def test_fields_and_types_are_those_of_stripe_s_examples(bought: dict[str, Any]) -> None:
    if not FIXTURES.exists():
        print(f"no {FIXTURES.name}: the double's objects are held against their own names only")
        assert all(made["object"] == kind for kind, made in bought.items())
        return
    examples = json.loads(FIXTURES.read_text())["resources"]
    for kind, made in bought.items():
        example = examples[kind]
        for name, value in made.items():
            assert name in example, (kind, name)
            known = example[name]
            if (
                value is not None
                and known is not None
                and not isinstance(known, bool | list | dict)
            ):
                assert isinstance(value, type(known)), (kind, name, value, known)


@pytest.mark.django_db
def test_errors_are_stripe_s(stripe_double: StripeDouble, settings: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as missing:
        stripe_client().v1.subscriptions.retrieve("sub_none")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
    settings.STRIPE_SECRET_KEY = "sk_test_other"
    with pytest.raises(stripe.AuthenticationError):
        stripe_client().v1.subscriptions.retrieve("sub_none")


@pytest.mark.django_db
def test_a_repeated_idempotency_key_makes_nothing_new(stripe_double: StripeDouble) -> None:
    made = {
        stripe_client()
        .v1.customers.create(params={"email": "a@example.com"}, options={"idempotency_key": "once"})
        .id
        for _ in range(3)
    }
    assert len(made) == 1


@pytest.mark.django_db
def test_a_restart_goes_on_where_it_was(
    stripe_double: StripeDouble, bought: dict[str, Any]
) -> None:
    from apps.billing.double.state import State

    stripe_double.double.state.save()
    again = State(stripe_double.double._config.state_path)
    assert again["subscriptions"] == stripe_double.double.state["subscriptions"]
