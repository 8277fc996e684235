"""What happened to an account, told to whoever cares (webhooks, alerts) without knowing them.

Told inside the teller's transaction: what a receiver writes down stands or falls with what happened, so a
process that dies loses neither. ``event_id`` is the same however often the same thing is told.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import transaction
from django.dispatch import Signal

from apps.core.logs import get_logger

account_event: Final = Signal()
_log = get_logger(__name__)


def tell(event: str, *, account_id: int, event_id: str, data: dict[str, Any]) -> None:
    """``event`` as webhooks name it (``usage.quota``); ``data`` is JSON-ready and has no secret.

    A receiver that fails is logged and undone alone: it never undoes what happened.
    """
    try:
        with transaction.atomic():
            account_event.send(
                sender=None, event=event, account_id=account_id, event_id=event_id, data=data
            )
    except Exception as error:
        _log.exception("account_event_lost", told=event, error=type(error).__name__)
