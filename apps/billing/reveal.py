"""One-time links to a new key. A live secret is never mailed: the letter has a link, the link shows once."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Q

from apps.accounts.letters import given_up_tell, is_server_away, letter_text
from apps.accounts.models import Account, User
from apps.billing.models import RevealLink
from apps.core.backoff import wait_after
from apps.core.logs import get_logger
from apps.core.sealing import seal, unseal
from apps.keys.services import CreatedKey

_BATCH: Final = 100
# Who has paid waits for it.
_AWAY_PAUSE: Final = timedelta(seconds=20)
_LONGEST_WAIT: Final = timedelta(minutes=5)
_PAGE: Final = "/admin/billing/reveallink/?mailed_at__isempty=1"
_PURPOSE: Final = "focsal one-time reveal of a key"
_log = get_logger(__name__)


def reveal_prepare(account: Account, created: CreatedKey, now: datetime) -> RevealLink:
    """Keep the secret, encrypted, until it was seen; the letter goes out by ``reveal_letters_send``."""
    return RevealLink.objects.create(
        account=account,
        key=created.key,
        secret_encrypted=seal(created.plaintext, _PURPOSE),
        expires_at=now + timedelta(hours=settings.BILLING_REVEAL_HOURS),
    )


def reveal_letters_send(now: datetime) -> int:
    """Send what was not sent yet; how many. The row is locked while its letter goes, so nobody doubles it."""
    waiting = RevealLink.objects.filter(
        Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=now),
        mailed_at__isnull=True,
        expires_at__gt=now,
    )
    sent = 0
    for link_id in waiting.order_by("pk").values_list("pk", flat=True)[:_BATCH]:
        is_sent, error = _send(link_id, now)
        sent += is_sent
        if error is not None and is_server_away(error):
            waiting.update(next_attempt_at=now + _AWAY_PAUSE)
            break
    return sent


@transaction.atomic
def _send(link_id: int, now: datetime) -> tuple[bool, Exception | None]:
    """Whether it went and, unless somebody else has it, why not."""
    locked = RevealLink.objects.select_for_update(skip_locked=True, of=("self",))
    link = locked.select_related("account__plan", "key").filter(pk=link_id).first()
    if link is None or link.mailed_at is not None:
        return False, None
    people = User.objects.filter(account=link.account, is_active=True)
    recipients = list(people.values_list("email", flat=True))
    token = secrets.token_urlsafe(32)
    subject, body = letter_text(
        "key_ready",
        account=link.account,
        url=f"{settings.PUBLIC_BASE_URL}/account/reveal/{token}/",
        hours=settings.BILLING_REVEAL_HOURS,
    )
    try:
        EmailMessage(subject, body, to=recipients).send()
    except Exception as error:
        # What is odd about one letter keeps no other waiting.
        link.attempts += 1
        link.next_attempt_at = now + min(_LONGEST_WAIT, wait_after(link.attempts))
        link.error = f"{type(error).__name__}: {error}"[:300]
        link.save(update_fields=["attempts", "next_attempt_at", "error"])
        _log.error("reveal_letter_failed", link=link_id, error=type(error).__name__)
        return False, error
    link.token_sha256, link.mailed_at = _token_hash(token), now
    link.save(update_fields=["token_sha256", "mailed_at"])
    return True, None


def reveal_find(token: str, account: Account | None, now: datetime) -> RevealLink | None:
    """The unseen link of this token, for the account that it belongs to alone."""
    if account is None:
        return None
    links = RevealLink.objects.select_related("key").filter(
        token_sha256=_token_hash(token), account=account, revealed_at__isnull=True
    )
    return links.filter(expires_at__gt=now).first()


@transaction.atomic
def reveal_take(
    token: str, account: Account | None, now: datetime
) -> tuple[RevealLink, str] | None:
    """The secret, once: it is wiped in the same transaction that hands it out."""
    found = reveal_find(token, account, now)
    if found is None:
        return None
    link = RevealLink.objects.select_for_update(of=("self",)).get(pk=found.pk)
    if link.revealed_at is not None or link.secret_encrypted is None:
        return None
    secret = unseal(bytes(link.secret_encrypted), _PURPOSE)
    link.revealed_at, link.secret_encrypted = now, None
    link.save(update_fields=["revealed_at", "secret_encrypted"])
    return None if secret is None else (link, secret)


@transaction.atomic
def reveal_wipe(now: datetime) -> int:
    """Forget secrets that nobody looked at in time, and those of keys that were revoked meanwhile."""
    stale = RevealLink.objects.filter(secret_encrypted__isnull=False)
    stale = stale.filter(Q(expires_at__lte=now) | Q(key__revoked_at__isnull=False))
    unsent = stale.filter(mailed_at__isnull=True, key__revoked_at__isnull=True)
    first = unsent.order_by("pk").first()
    if first is not None:
        # The plan is paid for and its key never came.
        given_up_tell(unsent.count(), letter_text("key_ready")[0], first.error, _PAGE)
    return stale.update(secret_encrypted=None)


def _token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
