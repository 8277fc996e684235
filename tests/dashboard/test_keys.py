"""Key pages and their JSON twin: shown once, scoped, rolled, revoked; never another customer's."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.alerts.idempotency import answers_forget
from apps.alerts.models import IdempotencyRecord
from apps.keys.format import hash_key
from apps.keys.models import ApiKey
from apps.keys.services import key_revoke, key_roll
from apps.tiers import gate
from apps.tiers.admission import Outcome
from tests.customers import Customer, admission_request, make_customer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]
Commit = Callable[..., AbstractContextManager[list[Any]]]


@pytest.fixture
def alice() -> Customer:
    return make_customer("pro")


@pytest.fixture
def eve() -> Customer:
    return make_customer("enterprise", "eve")


def signed_in(customer: Customer, **options: Any) -> Client:
    client = Client(**options)
    client.force_login(customer.user)
    return client


def secret_in(page: Any) -> str:
    found = re.search(r'id="key">(fk_test_[0-9A-Za-z]{32})<', page.content.decode())
    assert found is not None
    return found[1]


class TestPages:
    def test_a_new_key_is_shown_once_and_works(
        self, alice: Customer, django_capture_on_commit_callbacks: Commit
    ) -> None:
        client = signed_in(alice)
        form = {
            "name": "grid bot",
            "allowed_ips": "203.0.113.7\n198.51.100.0/24",
            "expires_days": "30",
        }
        with django_capture_on_commit_callbacks(execute=True):
            page = client.post("/account/keys/new", form)
        assert page.status_code == 201
        assert "no-store" in page["Cache-Control"]
        secret = secret_in(page)
        key = ApiKey.objects.get(sha256=hash_key(secret))
        assert key.allowed_ips == ["203.0.113.7/32", "198.51.100.0/24"]
        assert key.created_by == alice.user
        left = key.expires_at - timezone.now() if key.expires_at else timedelta(0)
        assert timedelta(days=29) < left <= timedelta(days=30)
        assert secret not in client.get("/account/api").content.decode()
        here = admission_request(secret, client_ip="198.51.100.20")
        assert gate.admit(here).outcome is Outcome.ADMITTED
        there = admission_request(secret, client_ip="198.51.101.20")
        assert gate.admit(there).outcome is Outcome.IP_NOT_ALLOWED

    @pytest.mark.parametrize(
        ("form", "text"),
        [
            ({"name": ""}, "errorlist"),
            ({"name": "x" * 81}, "errorlist"),
            ({"name": "a\x00b"}, "errorlist"),
            ({"name": "bot", "allowed_ips": "300.1.2.3"}, "300.1.2.3"),
            ({"name": "bot", "layers": ["L2"]}, "errorlist"),
            ({"name": "bot", "channels": ["liquidations"]}, ""),
            ({"name": "bot", "expires_days": "1000"}, "errorlist"),
        ],
    )
    def test_what_is_wrong_is_shown(self, alice: Customer, form: dict[str, Any], text: str) -> None:
        before = ApiKey.objects.count()
        page = signed_in(alice).post("/account/keys/new", form)
        if not text:
            # Pro has no streaming: the field is not there, and what is sent for it is not heard.
            assert ApiKey.objects.latest("pk").channels == []
            return
        assert page.status_code == 200
        assert text in page.content.decode()
        assert ApiKey.objects.count() == before

    def test_the_plan_s_number_of_keys_is_the_end(self, alice: Customer) -> None:
        client = signed_in(alice)
        answers = [client.post("/account/keys/new", {"name": f"bot {n}"}) for n in range(3)]
        assert [page.status_code for page in answers] == [201, 201, 200]
        assert "allows 3 test keys" in answers[2].content.decode()

    def test_rolling_with_grace_lets_both_work(
        self, alice: Customer, django_capture_on_commit_callbacks: Commit
    ) -> None:
        client = signed_in(alice)
        with django_capture_on_commit_callbacks(execute=True):
            page = client.post(f"/account/keys/{alice.key.pk}/roll", {"grace_hours": "24"})
        new = secret_in(page)
        for secret in (alice.plaintext, new):
            assert gate.admit(admission_request(secret)).outcome is Outcome.ADMITTED
        later_us = int((timezone.now() + timedelta(hours=25)).timestamp() * 1_000_000)
        old = gate.admit(admission_request(alice.plaintext, now_us=later_us))
        assert old.outcome is Outcome.EXPIRED
        assert gate.admit(admission_request(new, now_us=later_us)).outcome is Outcome.ADMITTED
        assert "rolled, until" in client.get("/account/api").content.decode()

    def test_rolling_without_grace_ends_the_old_one(
        self, alice: Customer, django_capture_on_commit_callbacks: Commit
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            page = signed_in(alice).post(f"/account/keys/{alice.key.pk}/roll", {"grace_hours": "0"})
        assert gate.admit(admission_request(alice.plaintext)).outcome is Outcome.REVOKED
        assert gate.admit(admission_request(secret_in(page))).outcome is Outcome.ADMITTED

    def test_revoking_needs_a_post_with_token(
        self, alice: Customer, django_capture_on_commit_callbacks: Commit
    ) -> None:
        address = f"/account/keys/{alice.key.pk}/revoke"
        assert signed_in(alice).get(address).status_code == 405
        assert signed_in(alice, enforce_csrf_checks=True).post(address).status_code == 403
        with django_capture_on_commit_callbacks(execute=True):
            assert signed_in(alice).post(address)["Location"] == "/account/api"
        assert gate.admit(admission_request(alice.plaintext)).outcome is Outcome.REVOKED

    @pytest.mark.parametrize("action", ["roll", "revoke"])
    def test_another_customer_s_key_is_not_there(
        self, alice: Customer, eve: Customer, action: str
    ) -> None:
        form = {"grace_hours": "0"}
        answer = signed_in(eve).post(f"/account/keys/{alice.key.pk}/{action}", form)
        assert answer.status_code == 404
        assert ApiKey.objects.get(pk=alice.key.pk).revoked_at is None

    @pytest.mark.parametrize("path", ["/account/keys/new", "/account/usage/", "/account/usage.csv"])
    def test_strangers_sign_in_first(self, path: str) -> None:
        assert Client().get(path)["Location"] == f"/login/?next={path}"


class TestApi:
    def test_list_create_roll_revoke(self, eve: Customer) -> None:
        client = signed_in(eve)
        body = {"name": "desk", "layers": ["L1"], "channels": ["liquidations"]}
        made = client.post("/v1/account/keys", body, content_type="application/json")
        assert made.status_code == 201
        secret = made.json()["key"]
        assert hash_key(secret) == ApiKey.objects.get(pk=made.json()["id"]).sha256
        assert made.json()["channels"] == ["liquidations"]
        listed = client.get("/v1/account/keys")
        assert {key["id"] for key in listed.json()["data"]} == {eve.key.pk, made.json()["id"]}
        assert secret not in listed.content.decode()
        address = f"/v1/account/keys/{made.json()['id']}"
        rolled = client.post(f"{address}/roll", {"grace_hours": 1}, content_type="application/json")
        assert rolled.status_code == 201
        assert client.get(address).json()["superseded_at"]
        assert client.delete(address).json()["revoked_reason"] == "revoked by its owner"

    def test_the_same_request_makes_one_key(self, eve: Customer) -> None:
        client = signed_in(eve)
        first, again = (_make(client, {"name": "desk"}) for _ in range(2))
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.content == again.content
        assert ("Idempotency-Replayed" in first, again["Idempotency-Replayed"]) == (False, "true")
        assert again["Cache-Control"] == "no-store"
        assert ApiKey.objects.filter(name="desk").count() == 1
        other = _make(client, {"name": "other"})
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
        assert not ApiKey.objects.filter(name="other").exists()

    def test_the_stored_answer_is_sealed_and_soon_gone(self, eve: Customer) -> None:
        client = signed_in(eve)
        made = _make(client, {"name": "desk"}).json()
        record = IdempotencyRecord.objects.get()
        assert record.answer_until is not None
        assert record.answer_until - record.created_at < timedelta(minutes=11)
        stored = bytes(record.answer_sealed) + record.told.encode() + record.key.encode()
        assert made["key"].encode() not in stored
        assert answers_forget() == 0
        IdempotencyRecord.objects.update(answer_until=timezone.now())
        late = _make(client, {"name": "desk"})
        assert (late.status_code, late.json()["code"]) == (409, "idempotency_conflict")
        assert f"key {made['id']} ({made['prefix']}…)" in late.json()["detail"]
        assert made["key"] not in late.content.decode()
        assert (answers_forget(), answers_forget()) == (1, 0)
        assert bytes(IdempotencyRecord.objects.get().answer_sealed) == b""
        assert _make(client, {"name": "desk"}).json()["detail"] == late.json()["detail"]
        assert ApiKey.objects.filter(name="desk").count() == 1

    def test_another_user_of_the_account_does_not_get_the_key(self, eve: Customer) -> None:
        made = _make(signed_in(eve), {"name": "desk"}).json()
        colleague = User.objects.create(email="colleague@example.com", account=eve.account)
        client = Client()
        client.force_login(colleague)
        answer = _make(client, {"name": "desk"})
        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_conflict")
        assert made["key"] not in answer.content.decode()

    def test_a_roll_is_done_once_too(self, eve: Customer) -> None:
        client = signed_in(eve)
        path = f"/v1/account/keys/{eve.key.pk}/roll"
        first, again = (_make(client, {"grace_hours": 1}, path) for _ in range(2))
        assert (first.status_code, first.content) == (201, again.content)
        without = client.post(path, {}, content_type="application/json")
        assert without.status_code == 400

    def test_a_refused_request_may_come_again(self, eve: Customer) -> None:
        client = signed_in(eve)
        assert _make(client, {"name": "x", "layers": ["L9"]}).status_code == 400
        assert _make(client, {"name": "x"}).status_code == 201

    def test_a_form_is_no_json(self, eve: Customer) -> None:
        answer = signed_in(eve).post(
            "/v1/account/keys", {"name": "x"}, headers={"Idempotency-Key": "one"}
        )
        assert 400 <= answer.status_code < 500
        assert not ApiKey.objects.filter(name="x").exists()

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({}, "name"),
            ({"name": ""}, "name"),
            ({"name": "x", "layers": "L1"}, "layers"),
            ({"name": "x", "layers": ["L9"]}, "layers"),
            ({"name": "x", "allowed_ips": ["nowhere"]}, "allowed_ips"),
            ({"name": "x", "channels": ["Ü"]}, "channels"),
            ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
            ({"name": "x", "colour": "red"}, "body"),
            ([], "body"),
        ],
    )
    def test_a_wrong_body_names_the_field(self, eve: Customer, body: Any, param: str) -> None:
        answer = signed_in(eve).post("/v1/account/keys", body, content_type="application/json")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")
        assert answer.json()["param"] == param

    def test_an_api_key_cannot_make_keys(self, eve: Customer) -> None:
        answer = Client().post(
            "/v1/account/keys", {"name": "x"}, content_type="application/json", headers=eve.headers
        )
        assert answer.status_code in (401, 403)
        assert ApiKey.objects.filter(account=eve.account).count() == 1

    def test_without_the_csrf_token_nothing_happens(self, eve: Customer) -> None:
        client = signed_in(eve, enforce_csrf_checks=True)
        answer = client.post("/v1/account/keys", {"name": "x"}, content_type="application/json")
        assert answer.status_code == 403

    @pytest.mark.parametrize("method", ["get", "delete"])
    def test_another_customer_s_key_is_404(
        self, alice: Customer, eve: Customer, method: str
    ) -> None:
        answer = getattr(signed_in(eve), method)(f"/v1/account/keys/{alice.key.pk}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert ApiKey.objects.get(pk=alice.key.pk).revoked_at is None


class TestServices:
    def test_a_rolled_key_is_not_rolled_again(self, alice: Customer) -> None:
        key_roll(account_id=alice.account.pk, key_id=alice.key.pk, grace=timedelta(days=1))
        with pytest.raises(Exception, match="rolled"):
            key_roll(account_id=alice.account.pk, key_id=alice.key.pk)

    @pytest.mark.parametrize("grace", [timedelta(seconds=-1), timedelta(days=7, seconds=1)])
    def test_the_grace_is_bounded(self, alice: Customer, grace: timedelta) -> None:
        with pytest.raises(Exception, match="none to seven days"):
            key_roll(account_id=alice.account.pk, key_id=alice.key.pk, grace=grace)

    def test_a_rolled_or_expired_key_frees_its_place(self, alice: Customer) -> None:
        client = signed_in(alice)
        assert client.post("/account/keys/new", {"name": "second"}).status_code == 201
        assert client.post("/account/keys/new", {"name": "third"}).status_code == 201
        ApiKey.objects.filter(name="third").update(expires_at=timezone.now())
        assert client.post("/account/keys/new", {"name": "fourth"}).status_code == 201

    def test_a_revocation_is_told_once(
        self, alice: Customer, django_capture_on_commit_callbacks: Commit
    ) -> None:
        from apps.core.happenings import account_event

        heard: list[dict[str, Any]] = []

        def listen(**facts: Any) -> None:
            heard.append(facts)

        account_event.connect(listen)
        with django_capture_on_commit_callbacks(execute=True):
            for _ in range(2):
                key_revoke(account_id=alice.account.pk, key_id=alice.key.pk, reason="lost")
        account_event.disconnect(listen)
        assert [(fact["event"], fact["data"]["reason"]) for fact in heard] == [
            ("key.revoked", "lost")
        ]
        assert alice.plaintext not in str(heard)


def _make(client: Client, body: Any, path: str = "/v1/account/keys") -> Any:
    """A request under one Idempotency-Key."""
    return client.post(
        path, body, content_type="application/json", headers={"Idempotency-Key": "one"}
    )
