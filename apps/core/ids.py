"""Request ids: sortable by time, unguessable, and accepted from a caller only when they are harmless."""

from __future__ import annotations

import os
import re
import time
from typing import Final

REQUEST_ID_HEADER: Final = "X-Request-Id"
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_ACCEPTED: Final = re.compile(r"[A-Za-z0-9_-]{8,64}\Z")


def new_request_id() -> str:
    """``req_`` and 26 characters: 10 of milliseconds, 16 of randomness."""
    value = (int(time.time() * 1000) << 80) | int.from_bytes(os.urandom(10), "big")
    chars = []
    for _ in range(26):
        value, digit = divmod(value, 32)
        chars.append(_ALPHABET[digit])
    return "req_" + "".join(reversed(chars))


def is_acceptable_request_id(value: str) -> bool:
    return _ACCEPTED.match(value) is not None
