"""Letters to customers, in English and Polish: plain text from ``templates/letters``, first the subject.

A letter is a row of the transaction that wants to write, and gone once the mail server has taken it. Until
then it is tried again, ever more seldom; what is given up after a day is told to staff, who can send it
again.
"""

from __future__ import annotations

import smtplib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import QuerySet
from django.template.loader import render_to_string
from django.utils import timezone, translation

from apps.accounts.models import Account, Letter, User
from apps.core.backoff import wait_after
from apps.core.logs import get_logger

PATIENCE: Final = timedelta(hours=24)
KEPT: Final = timedelta(days=30)
"""What was given up stays so long for staff to see and send again."""
AWAY_PAUSE: Final = timedelta(minutes=1)
_AT_ONCE: Final = 20
"""So many go out with the commit; more of them wait for the worker, not the caller for all of them."""
_BATCH: Final = 100
_ABOUT_LETTERS: Final = "letters_failed"
_PAGE: Final = "/admin/accounts/letter/?failed_at__isempty=0"
# smtplib's errors are OSErrors, also those that concern one letter alone.
_OF_THE_SERVER: Final = (
    smtplib.SMTPServerDisconnected,
    smtplib.SMTPConnectError,
    smtplib.SMTPHeloError,
    smtplib.SMTPAuthenticationError,
)
_log = get_logger(__name__)


def letter_text(name: str, **context: Any) -> tuple[str, str]:
    """Subject and body."""
    # What both languages share (numbers, dates) does not follow the language of who happens to cause it.
    with translation.override(settings.LANGUAGE_CODE):
        text = render_to_string(
            f"letters/{name}.txt", {"base_url": settings.PUBLIC_BASE_URL, **context}
        )
    subject, _, body = text.lstrip().partition("\n")
    return subject.strip(), body.lstrip()


def letter_send(account: Account, name: str, **context: Any) -> None:
    """Write to every active user of the account."""
    people = User.objects.filter(account=account, is_active=True).values_list("email", flat=True)
    letter_send_to(list(people), name, account=account, **context)


def letter_send_to(
    recipients: Sequence[str], name: str, *, account: Account | None = None, **context: Any
) -> None:
    """Write to these addresses, each by itself, once the database has committed.

    A mail server that is away is never an error of the work that wanted to write.
    """
    subject, body = letter_text(name, account=account, **context)
    now = timezone.now()
    written = Letter.objects.bulk_create(
        Letter(
            account=account,
            recipient=address,
            name=name,
            subject=subject,
            body=body,
            next_attempt_at=now,
            give_up_at=now + PATIENCE,
        )
        for address in recipients
    )
    if len(written) <= _AT_ONCE:
        numbers = [letter.pk for letter in written]
        transaction.on_commit(partial(letters_send, now, numbers), robust=True)


def letters_send(now: datetime, only: Collection[int] | None = None) -> int:
    """Send what is due; how many went. A row is locked while its letter goes, so nobody doubles it."""
    due = Letter.objects.filter(failed_at__isnull=True, next_attempt_at__lte=now)
    if only is not None:
        due = due.filter(pk__in=only)
    sent, given_up = 0, []
    for letter_id in due.order_by("next_attempt_at", "pk").values_list("pk", flat=True)[:_BATCH]:
        letter, error = _try(letter_id, now)
        sent += letter is not None and error is None
        if letter is not None and letter.failed_at is not None:
            given_up.append(letter)
        if error is not None and is_server_away(error):
            given_up += _postpone(due, error, now)
            break
    _tell_staff(given_up)
    return sent


def letters_forget(now: datetime) -> None:
    """What was given up long ago."""
    Letter.objects.filter(failed_at__lte=now - KEPT).delete()


def letters_again(letters: QuerySet[Letter], now: datetime) -> int:
    """Staff send again what was given up; how many."""
    return letters.filter(failed_at__isnull=False).update(
        attempts=0, failed_at=None, next_attempt_at=now, give_up_at=now + PATIENCE
    )


def is_server_away(error: Exception) -> bool:
    """Whether the next letter would fare no better."""
    if isinstance(error, smtplib.SMTPException):
        return isinstance(error, _OF_THE_SERVER)
    return isinstance(error, OSError)


def given_up_tell(count: int, subject: str, error: str, path: str) -> None:
    """A letter to staff that so many letters were given up; ``path`` is the page that lists them."""
    staff = User.objects.filter(is_staff=True, is_active=True).values_list("email", flat=True)
    letter_send_to(
        list(staff), _ABOUT_LETTERS, count=count, subject=subject, error=error, path=path
    )


@transaction.atomic
def _try(letter_id: int, now: datetime) -> tuple[Letter | None, Exception | None]:
    """The letter, None when somebody else has it, and why it did not go."""
    letter = Letter.objects.select_for_update(skip_locked=True).filter(pk=letter_id).first()
    if letter is None or letter.failed_at is not None or letter.next_attempt_at > now:
        return None, None
    try:
        EmailMessage(letter.subject, letter.body, to=[letter.recipient]).send()
    except Exception as error:
        # What is odd about one letter keeps no other waiting.
        letter.attempts += 1
        letter.next_attempt_at = now + wait_after(letter.attempts)
        if letter.attempts == 1:
            _log.warning("letter_waits", letter=letter.name, number=letter.pk, error=repr(error))
        _note(letter, error, now)
        return letter, error
    letter.delete()
    return letter, None


@transaction.atomic
def _postpone(due: QuerySet[Letter], error: Exception, now: datetime) -> list[Letter]:
    """The server takes none of them: one shows a minute later whether it does again. Those given up."""
    given_up = []
    for letter in due.select_for_update(skip_locked=True):
        letter.next_attempt_at = now + AWAY_PAUSE
        _note(letter, error, now)
        if letter.failed_at is not None:
            given_up.append(letter)
    return given_up


def _note(letter: Letter, error: Exception, now: datetime) -> None:
    letter.error = f"{type(error).__name__}: {error}"[:300]
    if now >= letter.give_up_at:
        letter.failed_at = now
        _log.error("letter_given_up", letter=letter.name, number=letter.pk)
    letter.save(update_fields=["attempts", "next_attempt_at", "error", "failed_at"])


def _tell_staff(given_up: Sequence[Letter]) -> None:
    # Those about letters are not told of by another.
    told = [letter for letter in given_up if letter.name != _ABOUT_LETTERS]
    if told:
        given_up_tell(len(told), told[0].subject, told[0].error, _PAGE)
