"""``Idempotency-Key``: a request that is sent twice is done once and answered the same.

The record, the work and the answer are one transaction: of two requests at the same time, the second waits
for the first and gets its answer. Answers hold secrets, so they are encrypted; they are kept for a day. One
that holds an API key is kept for minutes: afterwards a repetition is told which key it made, never the key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import orjson
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.http.request import RawPostDataException
from django.utils import timezone

from apps.accounts.models import Account
from apps.alerts.models import IdempotencyRecord
from apps.core.errors import IdempotencyConflict
from apps.core.jsonout import dumps
from apps.core.params import invalid
from apps.core.sealing import seal, unseal

HEADER: Final = "Idempotency-Key"
_MAX_CHARS: Final = 255
_PURPOSE: Final = "answer to a repeated request"


@dataclass(frozen=True, slots=True)
class ShownOnce:
    """The answer holds a key: it is kept for so long, and ``told`` says of it what is no secret."""

    kept: timedelta
    told: Callable[[Any], str]


def answered_once(
    request: HttpRequest,
    account: Account,
    work: Callable[[], tuple[int, Any]],
    *,
    asker: str = "",
    shown_once: ShownOnce | None = None,
) -> HttpResponse:
    """``work`` answers status and payload; with an Idempotency-Key it is done once.

    ``asker`` is who else than the account must be the same (its user), so that nobody gets another's answer.
    """

    def encoded() -> tuple[int, bytes]:
        status, payload = work()
        return status, dumps(payload)

    asked = (f"{asker}{request.method}", request.path, _body(request))
    key = request.headers.get(HEADER)
    status, body, is_repeated = once(account, key, asked, encoded, shown_once)
    response = HttpResponse(body, status=status, content_type="application/json")
    response["Cache-Control"] = "no-store"
    if is_repeated:
        response["Idempotency-Replayed"] = "true"
    return response


def _body(request: HttpRequest) -> bytes:
    try:
        return request.body
    except RawPostDataException:
        # A form was read from it, which no view takes.
        return b""


def once(
    account: Account,
    key: str | None,
    request: tuple[str, str, bytes],
    work: Callable[[], tuple[int, bytes]],
    shown_once: ShownOnce | None = None,
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
        if shown_once is not None:
            record.answer_until = timezone.now() + shown_once.kept
            record.told = shown_once.told(orjson.loads(body))[:120]
        record.save()
    return status, body, False


def _repeated(record: IdempotencyRecord, digest: str) -> tuple[int, bytes, bool]:
    if record.request_sha256 == digest and record.answer_until is not None:
        _refuse_late(record)
    answer = unseal(bytes(record.answer_sealed), _PURPOSE)
    if record.request_sha256 != digest or answer is None:
        raise IdempotencyConflict(
            "This Idempotency-Key was sent with another request; use a new one for each request.",
            param=HEADER,
        )
    return record.status_code, answer.encode(), True


def _refuse_late(record: IdempotencyRecord) -> None:
    if record.answer_until is not None and record.answer_until <= timezone.now():
        raise IdempotencyConflict(
            f"This request was done and has made {record.told}, which was shown then and cannot be shown "
            "again; roll it for a new one, or use a new Idempotency-Key.",
            param=HEADER,
        )


def answers_forget() -> int:
    """Wipe answers with keys whose minutes are over; how many."""
    stale = IdempotencyRecord.objects.filter(answer_until__lte=timezone.now())
    return stale.exclude(answer_sealed=b"").update(answer_sealed=b"")


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
