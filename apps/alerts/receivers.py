"""What other parts tell of an account becomes an event of it."""

from __future__ import annotations

from typing import Any

from apps.accounts.models import Account
from apps.alerts.events import event_id_of, event_record
from apps.core.happenings import account_event


def account_event_received(
    event: str, account_id: int, event_id: str, data: dict[str, Any], **_: Any
) -> None:
    account = Account.objects.select_related("plan").get(pk=account_id)
    event_record(account, event, event_id=event_id_of(account_id, event_id), data=data)


def connect() -> None:
    account_event.connect(account_event_received, dispatch_uid="alerts.account_event")
