"""No form and no call by cookie works without the page's own token."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.security.addresses import addresses
from tests.security.belongings import Owner, state_of

pytestmark = pytest.mark.django_db(databases=["default", "market"])
# Signed by Stripe instead.
_EXEMPT = ("/billing/webhook/",)


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_another_site_s_form_changes_nothing(owner: Owner, method: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner.customer.user)
    before = state_of(owner.customer.account.pk)
    for address in addresses():
        path = address.path(owner.values)
        if path in _EXEMPT:
            continue
        response = getattr(client, method)(path, headers={"Origin": "https://evil.example"})
        assert response.status_code in (401, 403, 404, 405, 501), (path, response.status_code)
    assert state_of(owner.customer.account.pk) == before


def test_the_refusal_looks_like_every_other_page(owner: Owner) -> None:
    client = Client(enforce_csrf_checks=True)
    page = client.post("/login/", {"login": "x"}, headers={"Accept-Language": "pl"})
    assert page.status_code == 403
    assert "Odmówiono" in page.content.decode()
    assert "site.css" in page.content.decode()
    assert "<style" not in page.content.decode()
