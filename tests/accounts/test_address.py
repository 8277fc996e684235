"""An address that staff change: confirmed anew, told to Stripe and to the old one, by one service."""

from __future__ import annotations

import re
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.account.signals import email_changed
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.core import mail
from django.test import Client

from apps.accounts.models import User
from apps.accounts.services import email_change, email_mark_verified
from apps.core.errors import InvalidParameter
from tests.customers import PASSWORD, Customer, make_customer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]
NEW = "alice-new@example.com"


@pytest.fixture
def alice() -> Customer:
    customer = make_customer("pro")
    customer.user.set_password(PASSWORD)
    customer.user.save()
    email_mark_verified(customer.user)
    return customer


@pytest.fixture
def root() -> Client:
    staff = User.objects.create(email="root@focsal.test", is_staff=True, is_superuser=True)
    TOTP.activate(staff, generate_totp_secret())
    client = Client()
    client.force_login(staff)
    return client


def save(root: Client, user: User, **changes: Any) -> Any:
    data = {"email": user.email, "account": user.account_id or "", "is_active": "on"} | changes
    return root.post(f"/admin/accounts/user/{user.pk}/change/", data)


def addresses(user: User) -> list[tuple[str, bool, bool]]:
    return list(EmailAddress.objects.filter(user=user).values_list("email", "verified", "primary"))


def test_the_new_address_is_the_only_one_and_not_confirmed(
    alice: Customer, root: Client, django_capture_on_commit_callbacks: Any
) -> None:
    before = alice.user.email
    told: list[tuple[str, str]] = []

    def listen(user: User, from_email_address: Any, to_email_address: Any, **_: Any) -> None:
        told.append((user.email, f"{from_email_address} {to_email_address}"))

    email_changed.connect(listen)
    with django_capture_on_commit_callbacks(execute=True):
        assert save(root, alice.user, email="Alice-New@Example.com").status_code == 302
    email_changed.disconnect(listen)
    alice.user.refresh_from_db()
    assert alice.user.email == NEW
    assert addresses(alice.user) == [(NEW, False, True)]
    # Stripe hears of it by this signal.
    assert told == [(NEW, f"{before} {NEW}")]
    [letter] = mail.outbox
    assert letter.to == [before]
    assert f"from {before} to {NEW}" in letter.body


def test_staff_see_what_is_confirmed_and_cannot_say_so_themselves(
    alice: Customer, root: Client
) -> None:
    email_change(alice.user, NEW)
    record = EmailAddress.objects.get(user=alice.user)
    assert NEW in root.get("/admin/account/emailaddress/").content.decode()
    path = f"/admin/account/emailaddress/{record.pk}/change/"
    assert root.get(path).status_code == 200
    assert root.post(path, {"verified": "on"}).status_code == 403
    assert addresses(alice.user) == [(NEW, False, True)]


def test_signing_in_needs_the_code_from_the_new_address(
    alice: Customer, django_capture_on_commit_callbacks: Any
) -> None:
    before = alice.user.email
    email_change(alice.user, NEW)
    client = Client()
    old = client.post("/login/", {"login": before, "password": PASSWORD})
    assert old.status_code == 200
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post("/login/", {"login": NEW, "password": PASSWORD})
    assert answer["Location"] == "/confirm-email/"
    assert mail.outbox[-1].to == [NEW]
    code = re.search(r"^\s*([0-9A-Z]{3,}(?:-[0-9A-Z]{3,})?)\s*$", str(mail.outbox[-1].body), re.M)
    assert code is not None
    client.post("/confirm-email/", {"code": code[1]})
    assert addresses(alice.user) == [(NEW, True, True)]


def test_saving_something_else_leaves_the_address_as_it_was(alice: Customer, root: Client) -> None:
    before = alice.user.email
    assert save(root, alice.user, is_active="").status_code == 302
    alice.user.refresh_from_db()
    assert not alice.user.is_active
    assert addresses(alice.user) == [(before, True, True)]


def test_other_capitals_are_the_same_mailbox(alice: Customer) -> None:
    User.objects.filter(pk=alice.user.pk).update(email=alice.user.email.upper())
    alice.user.refresh_from_db()
    email_change(alice.user, alice.user.email.lower())
    assert addresses(alice.user) == [(alice.user.email, True, True)]
    assert mail.outbox == []


@pytest.mark.parametrize("is_secondary", [False, True])
def test_somebody_else_s_address_is_refused(
    alice: Customer, root: Client, is_secondary: bool
) -> None:
    eve = make_customer("enterprise", "eve")
    taken = eve.user.email
    if is_secondary:
        taken = "eve-other@example.com"
        EmailAddress.objects.create(user=eve.user, email=taken, verified=True)
    before = alice.user.email
    page = save(root, alice.user, email=taken.title())
    assert page.status_code == 200
    assert "already exists" in page.content.decode() or "Somebody else" in page.content.decode()
    with pytest.raises(InvalidParameter):
        email_change(alice.user, taken)
    assert addresses(alice.user) == [(before, True, True)]


def test_a_link_to_a_new_password_that_went_to_the_old_address_is_void(
    alice: Customer, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        Client().post("/password/reset/", {"email": alice.user.email})
    link = re.search(r"https?://[^/]+(/\S+)", str(mail.outbox[-1].body))
    assert link is not None
    assert b'name="password1"' in Client().get(link[1], follow=True).content
    email_change(alice.user, NEW)
    assert b'name="password1"' not in Client().get(link[1], follow=True).content
