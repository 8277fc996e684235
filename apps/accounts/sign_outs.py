"""Sign-outs told to every web process: a socket that a signed-in page opened ends with its session.

Whoever ends it: the person (here or from the list of sessions), a new password, the deletion of the account,
staff. The message only says "look again"; sessions that run out are found without one.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any, Final

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.utils import timezone
from redis.exceptions import RedisError

from apps.accounts.models import User
from apps.core.control import control_send
from apps.core.logs import get_logger

_log = get_logger(__name__)
EVENT: Final = "session_ended"
_FIELDS: Final = frozenset({"password", "is_active", "account"})


def session_deleted(instance: Session, **_: Any) -> None:
    if instance.expire_date < timezone.now():
        # Cleared by the thousand, long after.
        return
    user_id = instance.get_decoded().get(SESSION_KEY)
    if user_id is None:
        return
    account_id = User.objects.filter(pk=user_id).values_list("account_id", flat=True).first()
    if account_id:
        transaction.on_commit(partial(_tell, account_id))


def user_saved(
    instance: User,
    created: bool,
    raw: bool = False,
    update_fields: Collection[str] | None = None,
    **_: Any,
) -> None:
    if created or raw or (update_fields is not None and _FIELDS.isdisjoint(update_fields)):
        return
    if instance.account_id:
        transaction.on_commit(partial(_tell, instance.account_id))


def _tell(account_id: int) -> None:
    try:
        control_send(EVENT, account_id=account_id)
    except (RedisError, OSError) as error:
        # Each process looks by itself every 15 seconds.
        _log.warning("sign_out_untold", account_id=account_id, error=type(error).__name__)


def connect() -> None:
    post_delete.connect(session_deleted, sender=Session, dispatch_uid="accounts.session_deleted")
    post_save.connect(user_saved, sender=User, dispatch_uid="accounts.user_saved")
