"""Letters in both languages, and what happens when the mail server does not take them."""

from __future__ import annotations

import smtplib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.utils import timezone, translation

from apps.accounts import tasks
from apps.accounts.letters import (
    KEPT,
    PATIENCE,
    letter_send,
    letter_send_to,
    letter_text,
    letters_again,
    letters_forget,
    letters_send,
)
from apps.accounts.models import Letter, User
from apps.accounts.privacy import personal_data, user_forget
from apps.core.backoff import LONGEST_WAIT, wait_after
from focsal.launcher.ports import free_port
from focsal.settings.environment import BASE_DIR
from tests.accounts.mail import MailServer, mail_refuses
from tests.customers import Customer
from tests.staff import staff_client

Commit = Callable[..., AbstractContextManager[list[Any]]]
AT = datetime(2026, 3, 10, 12, 30, tzinfo=UTC)
PLAN = SimpleNamespace(name="Pro")
ACCOUNT = SimpleNamespace(plan=PLAN)
KEY = SimpleNamespace(name="bot", prefix="fk_test_ab", suspended_until=AT)
HOOK = SimpleNamespace(name="desk", url_shown="https://example.com/…", pk=7)
FACTS: dict[str, dict[str, Any]] = {
    "address_changed": {"before": "a@example.com", "after": "b@example.com"},
    "key_ready": {"account": ACCOUNT, "url": "https://x/account/reveal/t/", "hours": 24},
    "key_suspended": {"key": KEY, "pause_minutes": 15},
    "key_warning": {"key": KEY, "strikes": 3, "pause_minutes": 15},
    "letters_failed": {"count": 2, "subject": "S", "error": "E", "path": "/admin/"},
    "payment_failed": {
        "invoice": SimpleNamespace(number="F-1", hosted_url="https://pay"),
        "amount": "100.00 USD",
        "until": AT,
    },
    "plan_change": {
        "plan": PLAN,
        "rows": [SimpleNamespace(label="Calls a day", before="1", after="2")],
        "reason": "More.",
        "effective_at": AT,
        "has_price": False,
    },
    "quota": {
        "account": ACCOUNT, "period": "month", "percent": 100, "used": 12_345, "limit": 12_000,
        "environment": "live",
    },
    "webhook_disabled": {"webhook": HOOK, "reason": "the receiver answered 500", "attempts": 3},
}  # fmt: skip
WORDS = {
    "address_changed": (
        "Your FOCSAL address was changed / Twój adres w FOCSAL został zmieniony",
        "from a@example.com to b@example.com",
        "z a@example.com na b@example.com",
    ),
    "key_ready": (
        "Your FOCSAL API key is ready / Twój klucz API FOCSAL jest gotowy",
        "Welcome to Pro. Your first API key waits behind this link; it is shown once:",
        "Witaj w planie Pro. Twój pierwszy klucz API czeka pod tym linkiem; pokażemy go raz:",
    ),
    "key_suspended": (
        "Your API key bot rests for 15 minutes / Twój klucz API bot odpoczywa 15 min",
        "It rests until 2026-03-10 12:30 UTC and works again by itself then.",
        "Odpoczywa do 2026-03-10 12:30 UTC i potem sam znów działa.",
    ),
    "key_warning": (
        "Your API key bot does not wait after 429 / Twój klucz API bot nie czeka po 429",
        "in 3 of the last ten minutes.",
        "w 3 z ostatnich dziesięciu minut.",
    ),
    "letters_failed": (
        "Letters to customers were given up / Listy do klientów nie doszły",
        'has not taken 2 letters to customers for so long that we stopped trying. First of them: "S" (E).',
        "(ich liczba: 2), że przestaliśmy próbować. Pierwszy z nich: „S” (E).",
    ),
    "payment_failed": (
        "A payment for FOCSAL failed / Płatność za FOCSAL nie powiodła się",
        "The payment of 100.00 USD (F-1) was refused. Your plan goes on until 2026-03-10 12:30 UTC;",
        "Płatność 100.00 USD (F-1) została odrzucona. Twój plan działa do 2026-03-10 12:30 UTC;",
    ),
    "plan_change": (
        "Your Pro plan changes on 2026-03-10 / Plan Pro zmienia się 2026-03-10",
        "- Calls a day: 2 (now 1)",
        "- Wywołania dziennie: 2 (teraz 1)",
    ),
    "quota": (
        "100 % of your month quota is used / Wykorzystano 100 % limitu miesięcznego",
        "12345 of 12000 calls of this month (UTC) are used on the Pro plan (live keys). Further calls",
        "W tym miesiącu (UTC) wykorzystano 12345 z 12000 zapytań planu Pro (klucze live). Następne",
    ),
    "webhook_disabled": (
        "Your webhook desk is switched off / Twój webhook desk został wyłączony",
        "to https://example.com/…: the receiver answered 500. After 3 attempts we stopped.",
        "na https://example.com/…: the receiver answered 500. Liczba prób, po których przestaliśmy: 3.",
    ),
}


class TestTexts:
    def test_every_letter_is_looked_at(self) -> None:
        files = {path.stem for path in (Path(BASE_DIR) / "templates" / "letters").glob("*.txt")}
        assert files == set(FACTS) == set(WORDS)

    @pytest.mark.parametrize("reader", ["en", "pl"])
    @pytest.mark.parametrize("name", sorted(FACTS))
    def test_each_is_in_both_languages_whoever_causes_it(self, name: str, reader: str) -> None:
        subject, english, polish = WORDS[name]
        with translation.override(reader):
            told, body = letter_text(name, **FACTS[name])
        assert told == subject
        first, second = body.split("\n---\n")
        assert english in first
        assert polish in second

    def test_the_letter_of_a_new_key_has_nothing_but_its_link(self) -> None:
        subject, body = letter_text("key_ready", **FACTS["key_ready"])
        assert "fk_" not in subject + body
        assert body.count("https://x/account/reveal/t/") == 2


@pytest.mark.django_db
@pytest.mark.usefixtures("no_old_attempts", "clean_redis")
class TestOutbox:
    def write(self, commit: Commit, *addresses: str) -> None:
        with commit(execute=True):
            letter_send_to(addresses, "address_changed", **FACTS["address_changed"])

    def test_what_went_is_kept_nowhere(
        self, alice: Customer, django_capture_on_commit_callbacks: Commit
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            letter_send(alice.account, "key_warning", **FACTS["key_warning"])
        assert [letter.to for letter in mail.outbox] == [[alice.user.email]]
        assert Letter.objects.count() == 0

    def test_what_was_undone_is_not_written(
        self, django_capture_on_commit_callbacks: Commit
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
            letter_send_to(["a@example.com"], "address_changed", **FACTS["address_changed"])
            transaction.set_rollback(True)
        assert letters_send(timezone.now() + PATIENCE) == 0
        assert mail.outbox == []

    def test_a_letter_that_was_refused_is_tried_ever_more_seldom(
        self, django_capture_on_commit_callbacks: Commit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refused = smtplib.SMTPRecipientsRefused({"a@example.com": (450, b"mailbox busy")})
        with monkeypatch.context() as patch:
            mail_refuses(patch, refused, only="a@example.com")
            self.write(django_capture_on_commit_callbacks, "a@example.com", "b@example.com")
            # What is odd about one address concerns no other.
            assert [letter.to for letter in mail.outbox] == [["b@example.com"]]
            waits = []
            for attempt in range(2, 12):
                letter = Letter.objects.get()
                due = letter.next_attempt_at
                assert letters_send(due - timedelta(microseconds=1)) == 0
                assert Letter.objects.get().attempts == attempt - 1
                assert letters_send(due) == 0
                waits.append(Letter.objects.get().next_attempt_at - due)
        assert waits == [wait_after(attempt) for attempt in range(2, 12)]
        assert (waits[0], waits[-1]) == (timedelta(seconds=20), LONGEST_WAIT)
        assert "mailbox busy" in Letter.objects.get().error
        assert letters_send(Letter.objects.get().next_attempt_at) == 1
        assert mail.outbox[-1].to == ["a@example.com"]
        assert Letter.objects.count() == 0

    def test_a_server_that_is_away_is_asked_by_one_letter(
        self, django_capture_on_commit_callbacks: Commit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        addresses = [f"{number}@example.com" for number in range(5)]
        calls: list[str] = []
        with monkeypatch.context() as patch:
            mail_refuses(patch, ConnectionRefusedError("away"), calls=calls)
            self.write(django_capture_on_commit_callbacks, *addresses)
            assert calls == addresses[:1]
            assert letters_send(timezone.now() + timedelta(seconds=11)) == 0
            assert calls == addresses[:1] * 2
        assert letters_send(timezone.now() + timedelta(seconds=62)) == 5
        assert sorted(letter.to[0] for letter in mail.outbox) == addresses

    def test_a_real_server_that_comes_back_gets_what_waited(
        self, settings: Any, django_capture_on_commit_callbacks: Commit
    ) -> None:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
        settings.EMAIL_HOST_USER, settings.EMAIL_USE_TLS = "", False
        self.write(django_capture_on_commit_callbacks, *(f"{one}@example.com" for one in "abc"))
        assert sorted(Letter.objects.values_list("attempts", flat=True)) == [0, 0, 1]
        assert set(Letter.objects.values_list("error", flat=True)) == {
            "ConnectionRefusedError: [Errno 111] Connection refused"
        }
        Letter.objects.update(next_attempt_at=timezone.now())
        with MailServer(settings.EMAIL_PORT, refused="b@example.com") as server:
            tasks.letters()
        assert server.taken == ["a@example.com", "c@example.com"]
        left = Letter.objects.get()
        assert (left.recipient, "no such mailbox" in left.error) == ("b@example.com", True)

    @pytest.mark.parametrize(
        "error", [TimeoutError("away"), smtplib.SMTPRecipientsRefused({"x": (550, b"never")})]
    )
    def test_what_is_given_up_is_told_to_staff_who_can_send_it_again(
        self,
        error: Exception,
        django_capture_on_commit_callbacks: Commit,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        operations = staff_client("operations")
        staff = User.objects.get(is_staff=True).email
        mail.outbox.clear()
        with monkeypatch.context() as patch:
            mail_refuses(patch, error)
            self.write(django_capture_on_commit_callbacks, "a@example.com", "b@example.com")
            with django_capture_on_commit_callbacks(execute=True):
                assert letters_send(timezone.now() + PATIENCE) == 0
        lost = Letter.objects.exclude(failed_at=None)
        assert sorted(lost.values_list("recipient", flat=True)) == [
            "a@example.com",
            "b@example.com",
        ]
        later = timezone.now() + PATIENCE + timedelta(minutes=2)
        assert letters_send(later) == 1
        [letter] = mail.outbox
        assert letter.to == [staff]
        assert "has not taken 2 letters to customers" in letter.body
        assert "/admin/accounts/letter/?failed_at__isempty=0" in letter.body
        page = "/admin/accounts/letter/?failed_at__isempty=0"
        assert "a@example.com" in operations.get(page).content.decode()
        chosen = {"action": "again", "_selected_action": [str(one.pk) for one in lost]}
        assert operations.post(page, chosen).status_code == 302
        assert letters_send(timezone.now()) == 2
        assert Letter.objects.count() == 0

    def test_support_sees_them_and_sends_nothing(self) -> None:
        given_up(AT)
        support = staff_client("support")
        page = support.get("/admin/accounts/letter/?failed_at__isempty=0").content.decode()
        assert "a@example.com" in page
        assert "Send again" not in page

    def test_letters_about_letters_end_there(
        self, django_capture_on_commit_callbacks: Commit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        User.objects.create_user("root@focsal.test", is_staff=True)
        mail_refuses(monkeypatch, TimeoutError())
        self.write(django_capture_on_commit_callbacks, "a@example.com")
        for days in (1, 3, 5):
            with django_capture_on_commit_callbacks(execute=True):
                letters_send(timezone.now() + timedelta(days=days))
        assert sorted(Letter.objects.values_list("recipient", flat=True)) == [
            "a@example.com",
            "root@focsal.test",
        ]

    def test_many_wait_for_the_worker(self, django_capture_on_commit_callbacks: Commit) -> None:
        addresses = [f"{number}@example.com" for number in range(21)]
        self.write(django_capture_on_commit_callbacks, *addresses)
        assert mail.outbox == []
        assert letters_send(timezone.now()) == 21

    def test_what_was_given_up_is_forgotten_in_time(self) -> None:
        given_up(AT)
        letters_forget(AT + KEPT - timedelta(seconds=1))
        assert Letter.objects.count() == 1
        letters_forget(AT + KEPT)
        assert Letter.objects.count() == 0

    def test_only_what_was_given_up_is_sent_again(self) -> None:
        given_up(AT)
        now = timezone.now()
        assert letters_again(Letter.objects.all(), now) == 1
        assert letters_again(Letter.objects.all(), now) == 0
        letter = Letter.objects.get()
        assert (letter.attempts, letter.failed_at) == (0, None)
        assert letter.give_up_at == now + PATIENCE

    def test_they_are_part_of_what_we_hold_about_a_person(self, alice: Customer) -> None:
        given_up(AT, recipient=alice.user.email.upper())
        [held] = personal_data(alice.user)["profile"]["letters_on_their_way"]
        assert held["subject"] == "S"
        user_forget(alice.user)
        assert Letter.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_of_two_workers_one_sends_a_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    Letter.objects.create(
        recipient="a@example.com", name="quota", subject="S", body="B",
        next_attempt_at=now, give_up_at=now + PATIENCE,
    )  # fmt: skip
    is_sending, may_end = threading.Event(), threading.Event()
    send, sent = EmailMessage.send, []

    def slow(message: EmailMessage) -> int:
        is_sending.set()
        assert may_end.wait(10)
        return send(message)

    def work() -> None:
        sent.append(letters_send(now))
        connection.close()

    monkeypatch.setattr(EmailMessage, "send", slow)
    first = threading.Thread(target=work)
    first.start()
    assert is_sending.wait(10)
    assert letters_send(now) == 0
    may_end.set()
    first.join(10)
    assert (sent, letters_send(now), len(mail.outbox)) == ([1], 0, 1)


def given_up(at: datetime, recipient: str = "a@example.com") -> None:
    Letter.objects.create(
        recipient=recipient, name="quota", subject="S", body="B", attempts=30,
        next_attempt_at=at, give_up_at=at, failed_at=at,
    )  # fmt: skip
