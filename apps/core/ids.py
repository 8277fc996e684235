"""Request ids: sortable by time, unguessable, and accepted from a caller only when they are harmless."""

from __future__ import annotations

import os
import re
import time
from typing import Final

REQUEST_ID_HEADER: Final = "X-Request-Id"
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
# Two characters (10 bits) at a time: every request makes an id.
_PAIRS: Final = tuple(left + right for left in _ALPHABET for right in _ALPHABET)
_SHIFTS: Final = tuple(range(120, -1, -10))
_ACCEPTED: Final = re.compile(r"[A-Za-z0-9_-]{8,64}\Z")


def new_request_id() -> str:
    """``req_`` and 26 characters: 10 of milliseconds, 16 of randomness."""
    value = (int(time.time() * 1000) << 80) | int.from_bytes(os.urandom(10), "big")
    pairs = _PAIRS
    return "req_" + "".join([pairs[(value >> shift) & 1023] for shift in _SHIFTS])


def is_acceptable_request_id(value: str) -> bool:
    return _ACCEPTED.match(value) is not None
