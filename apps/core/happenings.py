"""What happened to an account, told to whoever cares (webhooks, alerts) without knowing them.

Sent after the database has it; ``event_id`` is the same however often the same thing is told.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import transaction
from django.dispatch import Signal

account_event: Final = Signal()


def tell(event: str, *, account_id: int, event_id: str, data: dict[str, Any]) -> None:
    """``event`` as webhooks name it (``usage.quota``); ``data`` is JSON-ready and has no secret."""

    def send() -> None:
        account_event.send(
            sender=None, event=event, account_id=account_id, event_id=event_id, data=data
        )

    transaction.on_commit(send, robust=True)
