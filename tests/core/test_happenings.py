"""What happened and what is written down of it are one: both or neither."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from apps.alerts.models import Event
from apps.core.happenings import account_event, tell
from tests.customers import make_account

pytestmark = pytest.mark.django_db


@pytest.fixture
def _failing() -> Iterator[None]:
    def fails(**_: Any) -> None:
        raise ValueError

    account_event.connect(fails)
    yield
    account_event.disconnect(fails)


def _tell(account_id: int) -> None:
    data = {"key": "fk_test_", "name": "bot", "reason": "leaked"}
    tell("key.revoked", account_id=account_id, event_id="key.revoked:1", data=data)


def test_what_is_undone_is_not_told() -> None:
    account = make_account("pro")
    with transaction.atomic():
        _tell(account.pk)
        assert Event.objects.count() == 1
        transaction.set_rollback(True)
    assert Event.objects.count() == 0


@pytest.mark.usefixtures("_failing")
def test_a_receiver_that_fails_undoes_nothing_of_the_teller() -> None:
    account = make_account("pro")
    with transaction.atomic():
        account.name = "renamed"
        account.save()
        _tell(account.pk)
    account.refresh_from_db()
    assert account.name == "renamed"
    assert Event.objects.count() == 0
