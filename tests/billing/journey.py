"""Steps of a customer's way through the double of Stripe, shared by the tests of billing."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from django.core import mail
from django.test import Client
from django.utils import timezone

from apps.billing.checkout import checkout_url, plan_for_sale
from apps.billing.events import events_process
from apps.billing.reveal import reveal_letters_send
from tests.billing.conftest import StripeDouble, Visitor

READY = "Your FOCSAL API key is ready / Twój klucz API FOCSAL jest gotowy"
Commit = Callable[..., AbstractContextManager[list[Any]]]


def buy(stripe_double: StripeDouble, visitor: Visitor, slug: str = "pro") -> str:
    """Go to checkout and pay there; the subscription's id. Nothing is delivered yet."""
    url = checkout_url(visitor.account, visitor.user, plan_for_sale(slug))
    session = stripe_double.ledger.pay(url.rpartition("/")[2])
    return str(session["subscription"])


def settle(stripe_double: StripeDouble, commit: Commit) -> None:
    """Deliver what the double wants to tell, and work it off."""
    with commit(execute=True):
        stripe_double.deliver(*stripe_double.take())
        events_process(timezone.now())
        reveal_letters_send(timezone.now())


def reveal_path() -> str:
    """The link in the newest letter."""
    link = re.search(r"https?://[^/]+(/account/reveal/\S+/)", str(mail.outbox[-1].body))
    assert link is not None
    return link[1]


def secret_of_letter(visitor: Visitor) -> str:
    """Sign in and follow the link of the newest letter."""
    path = reveal_path()
    client = Client()
    client.force_login(visitor.user)
    assert b"Show my key" in client.get(path).content
    page = client.post(path).content.decode()
    found = re.search(r"fk_test_[0-9A-Za-z]{32}", page)
    assert found is not None
    assert client.post(path).status_code == 404
    return found[0]
