"""A mail server that refuses."""

from __future__ import annotations

from typing import Any

import pytest


def mail_refuses(
    patch: pytest.MonkeyPatch, error: Exception, *, only: str = "", calls: list[str] | None = None
) -> None:
    """Letters (to ``only`` this address) end with ``error``; ``calls`` notes to whom was tried."""
    from django.core.mail import EmailMessage

    send = EmailMessage.send

    def refuse(message: EmailMessage, *args: Any, **named: Any) -> int:
        if calls is not None:
            calls.extend(message.to)
        if not only or only in message.to:
            raise error
        return send(message, *args, **named)

    patch.setattr(EmailMessage, "send", refuse)
