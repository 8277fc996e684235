"""Two customers: one who owns things, one who would like to have them."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.alerts.models import Webhook
from tests.customers import Customer, clean_redis, make_customer
from tests.security.belongings import Owner, make_owner

__all__ = ["clean_redis"]


@pytest.fixture
def owner(db: None, clean_redis: Any, settings: Any) -> Owner:
    # Nothing goes out, whatever is pressed.
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    return make_owner(clean_redis)


@pytest.fixture
def stranger(owner: Owner) -> Customer:
    """On the same plan, with a webhook of their own, so that nothing is refused for lack of a plan."""
    found = make_customer("enterprise", "mallory")
    Webhook.objects.create(
        account=found.account, name="own", url_sealed=b"", url_shown="", secret_sealed=b""
    )
    return found


@pytest.fixture
def signed_in(stranger: Customer) -> Client:
    client = Client()
    client.force_login(stranger.user)
    return client
