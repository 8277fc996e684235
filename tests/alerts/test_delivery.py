"""From an event to a receiver: signed, at least once, three times, then off; a dead worker loses nothing."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from apps.alerts import delivery as deliveries
from apps.alerts import tasks
from apps.alerts.delivery import claim_due, deliver_due, outcome_record
from apps.alerts.events import event_id_of, event_record, event_test, redeliver
from apps.alerts.models import Attempt, Delivery, Event, Webhook
from apps.alerts.sender import Outcome, Post, Sender
from apps.alerts.streaming import events_stream
from apps.alerts.webhooks import CreatedWebhook, secret_rotate, webhook_create, webhook_update
from tests.alerts.conftest import Receiver
from tests.customers import Customer, make_account

DATA = {"market": "sandbox", "asset": "BTC", "value": 1.5}


@pytest.fixture
def hook(alice: Customer, receiver: Receiver) -> CreatedWebhook:
    return webhook_create(alice.account, {"url": receiver.url})


def _record(customer: Customer, number: int = 1, **changes: Any) -> Event | None:
    fields = {"event_id": event_id_of("spike", number), "data": DATA, "asset": "BTC"} | changes
    return event_record(customer.account, "liquidation.spike", **fields)


def _now(minutes: float = 0) -> datetime:
    return timezone.now() + timedelta(minutes=minutes)


class TestSigned:
    def test_the_public_library_verifies_it(
        self, alice: Customer, hook: CreatedWebhook, receiver: Receiver
    ) -> None:
        event = _record(alice)
        assert event is not None
        assert deliver_due(_now()) == 1
        [(headers, body)] = receiver.requests
        told = Verifier(hook.secret).verify(body, headers)
        assert told["type"] == "liquidation.spike"
        assert told["event_id"] == event.event_id == headers["webhook-id"]
        assert told["data"] == DATA
        assert headers["content-type"] == "application/json"

    def test_a_changed_body_or_secret_does_not_verify(
        self, alice: Customer, hook: CreatedWebhook, receiver: Receiver
    ) -> None:
        _record(alice)
        deliver_due(_now())
        [(headers, body)] = receiver.requests
        with pytest.raises(WebhookVerificationError):
            Verifier(hook.secret).verify(body.replace(b"BTC", b"ETH"), headers)
        other = webhook_create(alice.account, {"url": receiver.url})
        with pytest.raises(WebhookVerificationError):
            Verifier(other.secret).verify(body, headers)

    def test_two_secrets_sign_while_rotating(
        self, alice: Customer, hook: CreatedWebhook, receiver: Receiver
    ) -> None:
        rotated = secret_rotate(hook.webhook)
        _record(alice)
        deliver_due(_now())
        Webhook.objects.update(previous_until=_now(-1))
        _record(alice, 2)
        deliver_due(_now())
        (during, body), (after, later) = receiver.requests
        Verifier(hook.secret).verify(body, during)
        Verifier(rotated.secret).verify(body, during)
        Verifier(rotated.secret).verify(later, after)
        with pytest.raises(WebhookVerificationError):
            Verifier(hook.secret).verify(later, after)

    def test_nothing_readable_is_stored(self, hook: CreatedWebhook, receiver: Receiver) -> None:
        row = Webhook.objects.get()
        stored = bytes(row.secret_sealed) + bytes(row.url_sealed)
        assert hook.secret.removeprefix("whsec_").encode() not in stored
        assert receiver.url.encode() not in stored


class TestFormats:
    @pytest.mark.parametrize(
        ("format_name", "field"), [("slack", "text"), ("discord", "content"), ("telegram", "text")]
    )
    def test_chats_get_a_line_of_text(
        self, alice: Customer, receiver: Receiver, format_name: str, field: str
    ) -> None:
        url = f"{receiver.url}?chat_id=-100"
        hook = webhook_create(alice.account, {"url": url, "format": format_name}).webhook
        assert hook.url_shown == f"{receiver.url.removesuffix('/hook')}/…"
        _record(alice, data={"asset": "<!channel>&", "value": 1.5})
        deliver_due(_now())
        told = json.loads(receiver.requests[0][1])
        assert told[field].startswith("Liquidations spike (liquidation.spike)\nasset: ")
        assert ("<!channel>" in told[field]) == (format_name != "slack")
        assert told.get("chat_id") == ("-100" if format_name == "telegram" else None)


class TestAtLeastOnce:
    def test_told_twice_is_recorded_once(
        self, alice: Customer, hook: CreatedWebhook, receiver: Receiver
    ) -> None:
        assert _record(alice) is not None
        assert _record(alice) is None
        deliver_due(_now())
        deliver_due(_now())
        assert len(receiver.requests) == 1

    def test_a_worker_that_dies_between_claim_and_delivery_loses_nothing(
        self, alice: Customer, hook: CreatedWebhook, receiver: Receiver
    ) -> None:
        _record(alice)
        [claimed] = claim_due(_now())
        # It dies here. While the lease runs, nobody sends it a second time.
        assert deliver_due(_now()) == 0
        assert deliver_due(_now(0.9)) == 0
        assert deliver_due(_now(1.1)) == 1
        assert len(receiver.requests) == 1
        one = Delivery.objects.get()
        assert (one.status, one.attempts) == ("delivered", 1)
        # It was not dead, only slow: its word about a claim that has run out changes nothing.
        outcome_record(claimed, Outcome(500, "", 5))
        one.refresh_from_db()
        assert (one.status, one.attempts) == ("delivered", 1)
        assert Attempt.objects.count() == 2

    def test_a_worker_that_dies_after_sending_repeats_under_the_same_id(
        self,
        alice: Customer,
        hook: CreatedWebhook,
        receiver: Receiver,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        _record(alice)
        with monkeypatch.context() as patch:
            patch.setattr(deliveries, "outcome_record", _dies)
            with pytest.raises(SystemExit):
                deliver_due(_now())
        assert deliver_due(_now(1.1)) == 1
        ids = [headers["webhook-id"] for headers, _ in receiver.requests]
        assert len(ids) == 2
        assert len(set(ids)) == 1

    def test_three_attempts_in_thirty_minutes_then_off_and_a_letter(
        self, alice: Customer, hook: CreatedWebhook, receiver: Receiver,
        django_capture_on_commit_callbacks: Any,
    ) -> None:  # fmt: skip
        receiver.statuses[:] = [503]
        _record(alice)
        deliver_due(_now())
        one = Delivery.objects.get()
        assert timedelta(minutes=9.9) < one.due_at - timezone.now() <= timedelta(minutes=10)
        assert deliver_due(_now(9)) == 0
        assert deliver_due(_now(10.1)) == 1
        one.refresh_from_db()
        assert timedelta(minutes=19.9) < one.due_at - timezone.now() <= timedelta(minutes=20)
        with django_capture_on_commit_callbacks(execute=True):
            assert deliver_due(_now(30.2)) == 1
        one.refresh_from_db()
        assert (one.status, one.attempts) == ("failed", 3)
        assert one.note == "the receiver answered 503"
        row = Webhook.objects.get()
        assert (row.is_enabled, row.disabled_reason) == (False, "the receiver answered 503")
        [letter] = mail.outbox
        assert letter.subject == (
            "Your webhook webhook is switched off / Twój webhook webhook został wyłączony"
        )
        assert letter.to == [alice.user.email]
        assert hook.secret not in letter.body
        assert "After 3 attempts" in letter.body
        assert deliver_due(_now(120)) == 0
        assert len(receiver.requests) == 3

    def test_what_waits_beside_it_fails_with_it_and_is_sent_again_by_hand(
        self, alice: Customer, hook: CreatedWebhook, receiver: Receiver
    ) -> None:
        receiver.statuses[:] = [410, 200]
        first = _record(alice)
        second = _record(alice, 2)
        assert first is not None
        assert second is not None
        Delivery.objects.filter(event=second).update(due_at=_now(5))
        deliver_due(_now())
        assert [one.status for one in Delivery.objects.all()] == ["failed", "failed"]
        assert _record(alice, 3) is not None
        assert Delivery.objects.count() == 2
        webhook_update(hook.webhook, {"is_enabled": True})
        for one in Delivery.objects.all():
            redeliver(one)
        assert deliver_due(_now()) == 2
        assert {one.status for one in Delivery.objects.all()} == {"delivered"}
        ids = [headers["webhook-id"] for headers, _ in receiver.requests]
        assert sorted(ids) == sorted([first.event_id, first.event_id, second.event_id])

    def test_one_that_recovers_stays_on(
        self, alice: Customer, hook: CreatedWebhook, receiver: Receiver
    ) -> None:
        receiver.statuses[:] = [500, 200]
        _record(alice)
        deliver_due(_now())
        deliver_due(_now(11))
        one = Delivery.objects.get()
        assert (one.status, one.attempts, one.note) == ("delivered", 2, "")
        assert [attempt.status_code for attempt in one.log.all()] == [200, 500]
        assert Webhook.objects.get().is_enabled

    def test_a_test_that_fails_switches_nothing_off(
        self, hook: CreatedWebhook, receiver: Receiver
    ) -> None:
        receiver.statuses[:] = [410]
        event_test(hook.webhook, "key.revoked")
        deliver_due(_now())
        assert Delivery.objects.get().status == "failed"
        assert Webhook.objects.get().is_enabled
        assert json.loads(receiver.requests[0][1])["test"] is True


class TestUnwritable:
    """A type whose declaration is wrong makes bodies that cannot be written."""

    def test_it_fails_alone_and_with_a_reason(
        self, alice: Customer, hook: CreatedWebhook, receiver: Receiver
    ) -> None:
        broken, good = _record(alice), _record(alice, 2)
        assert broken is not None
        assert good is not None
        Event.objects.filter(pk=broken.pk).update(data=[1])
        assert deliver_due(_now()) == 2
        assert [headers["webhook-id"] for headers, _ in receiver.requests] == [good.event_id]
        failed = Delivery.objects.get(event=broken)
        assert (failed.status, failed.attempts, failed.claim) == ("failed", 1, None)
        assert failed.note == "not sent: we could not write this event (TypeError)"
        assert [one.error for one in failed.log.all()] == [failed.note]
        # It is no fault of the receiver's.
        assert Webhook.objects.get().is_enabled
        assert mail.outbox == []
        assert deliver_due(_now(60)) == 0
        Event.objects.filter(pk=broken.pk).update(data=DATA)
        redeliver(failed)
        assert deliver_due(_now()) == 1
        assert receiver.requests[-1][0]["webhook-id"] == broken.event_id

    def test_a_receiver_that_brings_about_the_unforeseen_fails_alone(
        self,
        alice: Customer,
        hook: CreatedWebhook,
        receiver: Receiver,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        odd = webhook_create(alice.account, {"url": receiver.url + "/odd"}).webhook
        real = Sender._send

        async def send(sender: Sender, post: Post) -> int:
            if post.url.endswith("/odd"):
                raise LookupError("no such codec")
            return await real(sender, post)

        monkeypatch.setattr(Sender, "_send", send)
        _record(alice)
        assert deliver_due(_now()) == 2
        failed = Delivery.objects.get(webhook=odd)
        assert (failed.status, failed.note) == ("pending", "no valid HTTP answer (LookupError)")
        assert Delivery.objects.get(webhook=hook.webhook).status == "delivered"

    def test_the_stream_goes_on_without_it(self, eve: Customer) -> None:
        broken, good = _record(eve), _record(eve, 2)
        assert broken is not None
        assert good is not None
        Event.objects.filter(pk=broken.pk).update(data=[1])
        assert events_stream() == 1
        assert not Event.objects.filter(streamed_at=None).exists()


def test_slow_receivers_never_hold_every_thread_of_a_worker(
    alice: Customer, hook: CreatedWebhook, receiver: Receiver
) -> None:
    _record(alice)
    with tasks._AT_ONCE, tasks._AT_ONCE:
        assert tasks.deliver() == 0
    assert receiver.requests == []
    assert tasks.deliver() == 1
    assert len(receiver.requests) == 1


class TestWho:
    def test_only_the_account_and_what_it_wants(
        self, alice: Customer, eve: Customer, receiver: Receiver
    ) -> None:
        def made(customer: Customer, **fields: Any) -> Webhook:
            return webhook_create(customer.account, {"url": receiver.url, **fields}).webhook

        everything, btc, eth, keys, off, others = (
            made(alice),
            made(alice, assets=["BTC"]),
            made(alice, assets=["ETH"]),
            made(alice, events=["key.revoked"]),
            made(alice, is_enabled=False),
            made(eve),
        )
        _record(alice)
        told = set(Delivery.objects.values_list("webhook_id", flat=True))
        assert told == {everything.pk, btc.pk}
        assert not told & {eth.pk, keys.pk, off.pk, others.pk}

    def test_a_plan_without_the_layer_is_told_of_its_keys_only(
        self, clean_redis: Any, db: None
    ) -> None:
        account = make_account("free")
        told = event_record(account, "liquidation.spike", event_id="evt_1", data=DATA)
        assert told is None
        data = {"key": "fk_test_", "name": "x", "reason": "y"}
        assert event_record(account, "key.revoked", event_id="evt_2", data=data) is not None


def _dies(*_: Any) -> None:
    raise SystemExit
