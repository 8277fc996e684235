"""``Idempotency-Key``: a request that is sent twice is done once and answered the same.

The record, the work and the answer are one transaction: of two requests at the same time, the second waits
for the first and gets its answer. Answers hold secrets, so they are encrypted; they are kept for a day.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

import orjson
from django.db import transaction

from apps.accounts.models import Account
from apps.alerts.models import IdempotencyRecord
from apps.core.errors import IdempotencyConflict
from apps.core.params import invalid
from apps.core.sealing import seal, unseal

HEADER: Final = "Idempotency-Key"
_MAX_CHARS: Final = 255
_PURPOSE: Final = "answer to a repeated request"


def once(
    account: Account,
    key: str | None,
    request: tuple[str, str, bytes],
    work: Callable[[], tuple[int, bytes]],
) -> tuple[int, bytes, bool]:
    """Status and body of ``work``, or of the time when it was done; and whether it is a repetition.

    ``request`` is method, path and body: the same key with another one is refused.
    """
    if key is None:
        return (*work(), False)
    if not 1 <= len(key) <= _MAX_CHARS or not key.isascii() or not key.isprintable():
        raise invalid(HEADER, f"1 to {_MAX_CHARS} printable ASCII characters", key)
    digest = _digest(request)
    with transaction.atomic():
        record, is_new = IdempotencyRecord.objects.get_or_create(
            account=account, key=key, defaults={"request_sha256": digest}
        )
        if not is_new:
            return _repeated(record, digest)
        status, body = work()
        record.status_code, record.answer_sealed = status, seal(body.decode(), _PURPOSE)
        record.save()
    return status, body, False


def _repeated(record: IdempotencyRecord, digest: str) -> tuple[int, bytes, bool]:
    answer = unseal(bytes(record.answer_sealed), _PURPOSE)
    if record.request_sha256 != digest or answer is None:
        raise IdempotencyConflict(
            "This Idempotency-Key was sent with another request; use a new one for each request.",
            param=HEADER,
        )
    return record.status_code, answer.encode(), True


def _digest(request: tuple[str, str, bytes]) -> str:
    method, path, body = request
    return hashlib.sha256(
        b"\n".join((method.encode(), path.encode(), _canonical(body)))
    ).hexdigest()


def _canonical(body: bytes) -> bytes:
    """Order and blanks of the JSON do not make another request."""
    try:
        parsed: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    return orjson.dumps(parsed, option=orjson.OPT_SORT_KEYS)
