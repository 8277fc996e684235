"""A customer with a password, and a cache that remembers no attempts."""

from __future__ import annotations

import pytest
from django.core.cache import cache

from apps.accounts.services import email_mark_verified
from apps.tiers.catalogue import plans_ensure
from tests.customers import PASSWORD, Customer, clean_redis, make_customer

__all__ = ["clean_redis"]


@pytest.fixture
def no_old_attempts() -> None:
    """The login library counts attempts in the cache, which outlives a test's rollback."""
    plans_ensure()
    cache.clear()


@pytest.fixture
def alice() -> Customer:
    return customer_with_password("pro")


def customer_with_password(plan: str, name: str = "alice") -> Customer:
    """Whose address is confirmed."""
    customer = make_customer(plan, name)
    customer.user.set_password(PASSWORD)
    customer.user.save()
    email_mark_verified(customer.user)
    return customer
