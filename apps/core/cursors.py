"""Opaque keyset cursors: they carry the question they belong to and the last position that was answered.

A cursor fixes the end of the window at the first page, so that rows arriving meanwhile neither shift nor
repeat what is still to come. It is not a secret and not signed: everything in it is validated like a
parameter. The checksum only tells a broken cursor from a whole one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final, TypeVar

import msgspec

from apps.core.errors import InvalidParameter

MAX_CHARS: Final = 512
_CHECK_BYTES: Final = 6
_Position = TypeVar("_Position", bound=msgspec.Struct)


def encode_cursor(position: msgspec.Struct) -> str:
    body = msgspec.msgpack.encode(position)
    return base64.urlsafe_b64encode(_check(body) + body).rstrip(b"=").decode()


def decode_cursor(text: str, kind: type[_Position]) -> _Position:
    """The position inside; raises ``InvalidParameter`` on anything that is not a whole cursor."""
    if not 0 < len(text) <= MAX_CHARS or not text.isascii():
        raise broken_cursor()
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        check, body = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
        if check != _check(body):
            raise broken_cursor()
        return msgspec.msgpack.decode(body, type=kind)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise broken_cursor() from None


def broken_cursor() -> InvalidParameter:
    return InvalidParameter(
        "cursor: expected the next_cursor of an earlier answer, unchanged, received something else.",
        param="cursor",
        extra={"expected": "the next_cursor of an earlier answer", "received": "a broken cursor"},
    )


def foreign_cursor(name: str, expected: str, received: str) -> InvalidParameter:
    """The cursor is whole but belongs to another question."""
    return InvalidParameter(
        f"cursor: expected the {name} that it was made for ({expected}), received {received}.",
        param="cursor",
        extra={"expected": f"{name}={expected}", "received": f"{name}={received}"},
    )


def _check(body: bytes) -> bytes:
    return hashlib.sha256(b"focsal-cursor-1" + body).digest()[:_CHECK_BYTES]
