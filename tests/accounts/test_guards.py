"""What guards accounts: guessing, sessions, second factors, long passwords, changed addresses."""

from __future__ import annotations

import re
from typing import Any

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import (
    TOTP,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.contrib.auth import hashers
from django.core import mail
from django.test import Client
from uvicorn.middleware.proxy_headers import _TrustedHosts

from apps.accounts import forms
from apps.accounts.models import User
from apps.accounts.services import email_mark_verified
from focsal.web import config
from tests.accounts.conftest import customer_with_password
from tests.accounts.test_sign_up import FORM
from tests.customers import PASSWORD, Customer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis", "no_old_attempts")]
NEW = "another-horse-staple-9"


def sign_in(email: str, password: str = PASSWORD, client: Client | None = None, **more: Any) -> Any:
    return (client or Client()).post("/login/", {"login": email, "password": password}, **more)


class TestGuessing:
    def test_an_address_of_one_s_own_choice_opens_no_new_account_of_tries(
        self, alice: Customer
    ) -> None:
        codes = [
            sign_in(
                alice.user.email,
                "wrong",
                headers={"X-Forwarded-For": f"198.51.100.{number}", "X-Real-IP": f"1.2.3.{number}"},
            ).status_code
            for number in range(12)
        ]
        assert codes[-1] == 429

    def test_the_server_believes_named_proxies_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("FOCSAL_TRUSTED_PROXIES", raising=False)
        assert config("127.0.0.1", 1).proxy_headers is False
        monkeypatch.setenv("FOCSAL_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1")
        made = config("127.0.0.1", 1)
        assert made.proxy_headers is True
        trusted = _TrustedHosts(made.forwarded_allow_ips)
        assert [host in trusted for host in ("10.1.2.3", "192.0.2.1", "127.0.0.1")] == [
            True,
            True,
            False,
        ]

    def test_spellings_of_an_address_are_counted_together(self, alice: Customer) -> None:
        email = alice.user.email
        for number in range(10):
            sign_in(email.upper() if number % 2 else f" {email}", "wrong")
        assert sign_in(email).status_code == 429

    def test_many_places_do_not_guess_for_ever(
        self, alice: Customer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The hundred tries need no real hashing.
        monkeypatch.setattr(User, "check_password", lambda *_: False)
        for number in range(100):
            sign_in(alice.user.email, "wrong", REMOTE_ADDR=f"10.0.{number}.1")
        monkeypatch.undo()
        refused = sign_in(alice.user.email, REMOTE_ADDR="10.9.9.9")
        assert refused.status_code == 200
        assert "Too many failed login attempts" in refused.content.decode()
        other = customer_with_password("pro", "bob")
        assert sign_in(other.user.email, REMOTE_ADDR="10.9.9.9").status_code == 302

    @pytest.mark.parametrize(
        ("path", "form"),
        [
            ("/signup/", FORM),
            ("/password/reset/", {"email": "x@example.com"}),
            ("/login/", {"login": "x@example.com", "password": ""}),
        ],
    )
    def test_doors_for_everybody_have_a_limit(self, path: str, form: dict[str, str]) -> None:
        codes = []
        for number in range(35):
            filled = {name: value.replace("x@", f"x{number}@") for name, value in form.items()}
            # A form that is wrong costs nothing here, and counts the same.
            codes.append(Client().post(path, {**filled, "password1": ""}).status_code)
        assert codes[-1] == 429
        page = Client().post(path, form, headers={"Accept-Language": "pl"})
        assert page["Retry-After"] == "60"
        assert "Zbyt często" in page.content.decode()

    def test_a_known_address_costs_as_much_as_a_new_one(
        self, alice: Customer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hashed: list[str | None] = []
        real = hashers.make_password

        def counted(password: str | None, *args: Any, **kwargs: Any) -> str:
            hashed.append(password)
            return real(password, *args, **kwargs)

        monkeypatch.setattr(forms, "make_password", counted)
        monkeypatch.setattr("django.contrib.auth.base_user.make_password", counted)
        answers = []
        for email in (alice.user.email, "new@example.com"):
            hashed.clear()
            answer = Client().post("/signup/", {**FORM, "email": email})
            answers.append((answer.status_code, answer["Location"], hashed.count(PASSWORD)))
        assert answers[0] == answers[1]
        assert answers[0][2] == 1

    @pytest.mark.parametrize("path", ["/signup/", "/password/reset/"])
    @pytest.mark.parametrize("change", [str.upper, str.title])
    def test_another_spelling_is_the_same_person(
        self, alice: Customer, path: str, change: Any
    ) -> None:
        before = User.objects.count()
        Client().post(path, {**FORM, "email": change(alice.user.email)})
        assert User.objects.count() == before
        assert mail.outbox[0].to == [alice.user.email]

    def test_a_look_alike_address_gets_no_letter_of_another(self) -> None:
        """PostgreSQL's and Python's idea of lower case differ for some letters."""
        email_mark_verified(User.objects.create(email="mike@example.org"))
        # A Turkish dotless i and a Kelvin sign, which fold to plain letters.
        Client().post("/password/reset/", {"email": "m\u0131\u212ae@example.org"})
        assert all(letter.to != ["m\u0131\u212ae@example.org"] for letter in mail.outbox)


class TestPasswords:
    def test_every_character_of_a_long_one_counts(self) -> None:
        """bcrypt alone would stop reading after 72 bytes."""
        user = User(email="long@example.com")
        user.set_password("ż" * 100 + "a")
        assert user.check_password("ż" * 100 + "a")
        assert not user.check_password("ż" * 100 + "b")
        assert user.password.startswith("bcrypt_sha256$$2b$12$")

    def test_changing_it_ends_other_sessions(self, alice: Customer) -> None:
        here, there = Client(), Client()
        for client in (here, there):
            sign_in(alice.user.email, client=client)
        form = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
        assert here.post("/password/change/", form).status_code == 302
        assert here.get("/account/api").status_code == 200
        assert there.get("/account/api").status_code == 302


class TestSecondFactor:
    def test_a_code_works_once(self, alice: Customer) -> None:
        secret = generate_totp_secret()
        TOTP.activate(alice.user, secret)
        code = str(hotp_value(secret, next(iter(yield_hotp_counters_from_time())))).zfill(6)
        answers = []
        for _ in range(2):
            client = Client()
            sign_in(alice.user.email, client=client)
            answers.append(client.post("/2fa/authenticate/", {"code": code}).status_code)
            signed_in = client.get("/account/api").status_code
            answers.append(signed_in)
        assert answers == [302, 200, 200, 302]

    def test_a_recovery_code_works_once(self, alice: Customer) -> None:
        TOTP.activate(alice.user, generate_totp_secret())
        code = RecoveryCodes.activate(alice.user).get_unused_codes()[0]
        answers = []
        for _ in range(2):
            client = Client()
            sign_in(alice.user.email, client=client)
            client.post("/2fa/authenticate/", {"code": code})
            answers.append(client.get("/account/api").status_code)
        assert answers == [200, 302]

    def test_codes_are_not_guessed(self, alice: Customer) -> None:
        TOTP.activate(alice.user, generate_totp_secret())
        client = Client()
        sign_in(alice.user.email, client=client)
        pages = [client.post("/2fa/authenticate/", {"code": "000000"}) for _ in range(110)]
        assert "Too many failed login attempts" in pages[-1].content.decode()

    def test_a_reset_password_does_not_pass_it_by(self, alice: Customer) -> None:
        TOTP.activate(alice.user, generate_totp_secret())
        client = Client()
        client.post("/password/reset/", {"email": alice.user.email})
        link = re.search(r"http://testserver(/password/reset/key/\S+)", str(mail.outbox[0].body))
        assert link is not None
        form = client.get(link[1], follow=True)
        client.post(form.request["PATH_INFO"], {"password1": NEW, "password2": NEW})
        assert client.get("/account/api").status_code == 302


class TestAddress:
    def test_a_new_one_counts_once_it_is_confirmed(self, alice: Customer) -> None:
        client = Client()
        sign_in(alice.user.email, client=client)
        client.post("/email/", {"email": "alice-new@example.com", "action_add": ""})
        alice.user.refresh_from_db()
        assert alice.user.email != "alice-new@example.com"
        letter = next(one for one in mail.outbox if one.to == ["alice-new@example.com"])
        code = re.search(r"^\s*([A-Z0-9]{3,}-?[A-Z0-9]*)\s*$", str(letter.body), re.M)
        assert code is not None
        client.post("/confirm-email/", {"code": code[1]})
        alice.user.refresh_from_db()
        assert alice.user.email == "alice-new@example.com"


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil.example"])
@pytest.mark.parametrize("path", ["/login/", "/signup/", "/logout/", "/reauthenticate/"])
def test_no_door_leads_away(alice: Customer, path: str, target: str) -> None:
    client = Client()
    if path in ("/logout/", "/reauthenticate/"):
        sign_in(alice.user.email, client=client)
    form = {**FORM, "login": alice.user.email, "password": PASSWORD, "next": target}
    answer = client.post(f"{path}?next={target}", form)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/")
    assert "evil" not in answer["Location"]
