"""From visitor to signed-in customer, and what guards the door."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import (
    TOTP,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.core import mail
from django.core.cache import cache
from django.test import Client

from apps.accounts.models import Account, User
from apps.keys.models import ApiKey
from tests.customers import PASSWORD, Customer, make_customer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis", "no_old_attempts")]
FORM = {
    "email": "new@example.com",
    "password1": PASSWORD,
    "account_name": "New Capital",
    "has_read_risks": "on",
}


def sign_in(customer: Customer, password: str = PASSWORD, client: Client | None = None) -> Any:
    form = {"login": customer.user.email, "password": password}
    return (client or Client()).post("/login/", form)


def confirm(client: Client) -> None:
    """Type the password once more, as touching personal data asks for."""
    assert client.post("/reauthenticate/", {"password": PASSWORD}).status_code == 302


class TestSignUp:
    def test_a_visitor_confirms_the_address_and_is_in(self) -> None:
        client = Client()
        first = client.post("/signup/?next=/account/api", FORM)
        assert (first.status_code, first["Location"]) == (302, "/confirm-email/")
        assert not EmailAddress.objects.get(email="new@example.com").verified
        assert client.get("/account/api").status_code == 302
        code = re.search(r"^\s*([A-Z0-9]{3,}-?[A-Z0-9]*)\s*$", str(mail.outbox[0].body), re.M)
        assert code is not None
        done = client.post("/confirm-email/", {"code": code[1]})
        assert (done.status_code, done["Location"]) == (302, "/account/api")
        page = client.get("/account/api")
        assert "New Capital: Free" in page.content.decode()

    def test_it_makes_one_account_on_the_free_plan(self) -> None:
        Client().post("/signup/", FORM)
        user = User.objects.get(email="new@example.com")
        assert user.account is not None
        assert (user.account.plan.slug, user.account.name) == ("free", "New Capital")
        assert user.password.startswith("bcrypt_sha256$$2b$12$")

    def test_a_wrong_code_lets_nobody_in(self) -> None:
        client = Client()
        client.post("/signup/", FORM)
        assert client.post("/confirm-email/", {"code": "AAAAAA"}).status_code == 200
        assert client.get("/account/api").status_code == 302

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"email": "no address"}, "email"),
            ({"email": ""}, "email"),
            ({"password1": "short"}, "password1"),
            ({"password1": "new@example.com"}, "password1"),
            ({"has_read_risks": ""}, "has_read_risks"),
            ({"account_name": "x" * 121}, "account_name"),
            ({"email": "a\x00b@example.com"}, "email"),
        ],
    )
    def test_what_is_wrong_is_shown_and_nothing_is_stored(
        self, change: dict[str, str], field: str
    ) -> None:
        before = (User.objects.count(), Account.objects.count())
        response = Client().post("/signup/", {**FORM, **change})
        assert response.status_code == 200
        assert response.context["form"].errors[field]
        assert (User.objects.count(), Account.objects.count()) == before

    def test_a_known_address_is_not_betrayed(self, alice: Customer) -> None:
        before = User.objects.count()
        response = Client().post("/signup/", {**FORM, "email": alice.user.email})
        assert (response.status_code, response["Location"]) == (302, "/confirm-email/")
        assert User.objects.count() == before
        assert "already" in mail.outbox[0].body

    def test_it_can_be_closed(self, settings: Any) -> None:
        settings.ACCOUNT_SIGNUP_ALLOWED = False
        Client().post("/signup/", FORM)
        assert not User.objects.filter(email="new@example.com").exists()


class TestSignIn:
    def test_ten_wrong_passwords_lock_the_door(self, alice: Customer) -> None:
        answers = [sign_in(alice, "wrong").status_code for _ in range(12)]
        assert answers[:4] == [200] * 4
        assert answers[-1] == 429
        locked = sign_in(alice)
        assert locked.status_code == 429
        assert locked["Retry-After"] == "900"

    def test_an_unverified_address_is_asked_to_confirm(self) -> None:
        Client().post("/signup/", FORM)
        # The letter of a moment ago would hold the next one back.
        cache.clear()
        response = Client().post("/login/", {"login": FORM["email"], "password": PASSWORD})
        assert response["Location"] == "/confirm-email/"

    def test_the_second_factor_is_asked_for(self, alice: Customer) -> None:
        secret = generate_totp_secret()
        TOTP.activate(alice.user, secret)
        client = Client()
        assert sign_in(alice, client=client)["Location"] == "/2fa/authenticate/"
        assert client.get("/account/api").status_code == 302
        counter = next(iter(yield_hotp_counters_from_time()))
        code = str(hotp_value(secret, counter)).zfill(6)
        assert client.post("/2fa/authenticate/", {"code": code}).status_code == 302
        assert client.get("/account/api").status_code == 200

    def test_a_reset_letter_sets_a_new_password(self, alice: Customer) -> None:
        client = Client()
        client.post("/password/reset/", {"email": alice.user.email})
        link = re.search(r"http://testserver(/password/reset/key/\S+)", str(mail.outbox[0].body))
        assert link is not None
        form = client.get(link[1], follow=True)
        new = "another-horse-staple-9"
        done = client.post(form.request["PATH_INFO"], {"password1": new, "password2": new})
        assert done.status_code == 302
        assert sign_in(alice).status_code == 200
        assert sign_in(alice, new).status_code == 302

    def test_other_sessions_can_be_ended(self, alice: Customer) -> None:
        here, there = Client(), Client()
        sign_in(alice, client=here)
        sign_in(alice, client=there)
        here.get("/sessions/")
        assert here.post("/sessions/").status_code == 302
        assert there.get("/account/api").status_code == 302
        assert here.get("/account/api").status_code == 200


class TestStaff:
    def test_without_a_second_factor_the_admin_is_closed(self) -> None:
        staff = User.objects.create(email="s@focsal.test", is_staff=True, is_superuser=True)
        client = Client()
        client.force_login(staff)
        response = client.get("/admin/")
        assert (response.status_code, response["Location"]) == (302, "/2fa/totp/activate/")
        TOTP.activate(staff, generate_totp_secret())
        assert client.get("/admin/").status_code == 200

    def test_the_admin_has_no_door_of_its_own(self) -> None:
        response = Client().get("/admin/login/")
        assert response.status_code == 302
        assert response["Location"].startswith("/login/")


class TestPrivacy:
    def test_the_export_has_what_we_hold_and_no_secret(self, alice: Customer) -> None:
        client = Client()
        sign_in(alice, client=client)
        confirm(client)
        response = client.get("/account/privacy/export/")
        data = orjson.loads(response.content)
        assert data["profile"]["email"] == alice.user.email
        assert data["api_keys"][0]["prefix"] == alice.key.prefix
        assert data["usage_log"] == []
        assert alice.plaintext not in response.content.decode()
        assert alice.key.sha256 not in response.content.decode()

    def test_one_gets_one_s_own_only(self, alice: Customer) -> None:
        eve = make_customer("enterprise", "eve")
        client = Client()
        sign_in(alice, client=client)
        confirm(client)
        assert eve.user.email not in client.get("/account/privacy/export/").content.decode()

    def test_deletion_needs_the_address_typed_in(self, alice: Customer) -> None:
        client = Client()
        sign_in(alice, client=client)
        confirm(client)
        assert client.post("/account/privacy/delete/", {"email": "x@y.z"}).status_code == 400
        assert User.objects.filter(email=alice.user.email).exists()

    def test_deletion_ends_keys_sessions_and_names(self, alice: Customer) -> None:
        client, other = Client(), Client()
        sign_in(alice, client=client)
        confirm(client)
        sign_in(alice, client=other)
        email = alice.user.email
        assert client.post("/account/privacy/delete/", {"email": email})["Location"] == "/"
        assert not User.objects.filter(email=email).exists()
        assert not EmailAddress.objects.filter(email=email).exists()
        assert ApiKey.objects.get(pk=alice.key.pk).revoked_reason == "account closed"
        assert Account.objects.get(pk=alice.account.pk).name.startswith("deleted account")
        assert other.get("/account/api").status_code == 302
        assert sign_in(alice).status_code == 200

    def test_a_session_alone_is_not_enough(self, alice: Customer) -> None:
        client = Client()
        sign_in(alice, client=client)
        for path in ("export/", "delete/"):
            answer = client.get(f"/account/privacy/{path}")
            assert answer["Location"].startswith("/reauthenticate/")

    @pytest.mark.parametrize("path", ["", "export/", "delete/"])
    def test_strangers_sign_in_first(self, path: str) -> None:
        assert Client().get(f"/account/privacy/{path}")["Location"].startswith("/login/")
