"""Letters to customers: plain text from ``templates/letters``, the first line is the subject."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.template.loader import render_to_string

from apps.accounts.models import Account, User
from apps.core.logs import get_logger

_log = get_logger(__name__)


def letter_send(account: Account, name: str, **context: Any) -> None:
    """Write to every active user of the account."""
    people = User.objects.filter(account=account, is_active=True).values_list("email", flat=True)
    letter_send_to(list(people), name, account=account, **context)


def letter_send_to(recipients: Sequence[str], name: str, **context: Any) -> None:
    """Write to these addresses, each by itself, once the database has committed.

    A mail server that is away is logged, never an error of the work that wanted to write.
    """
    text = render_to_string(
        f"letters/{name}.txt", {"base_url": settings.PUBLIC_BASE_URL, **context}
    )
    subject, _, body = text.lstrip().partition("\n")

    def send() -> None:
        for address in recipients:
            try:
                EmailMessage(subject.strip(), body.lstrip(), to=[address]).send()
            except OSError as error:
                _log.error("letter_failed", letter=name, error=type(error).__name__)

    transaction.on_commit(send)
