"""The form of an API key, checked without any look-up.

``fk_live_`` or ``fk_test_``, then 26 random characters ``[0-9A-Za-z]`` and 6 that are the CRC-32 of
everything before them in base 62, so that a mistyped key is refused before Redis or PostgreSQL is asked.
The checksum finds typos; the 154 random bits are what makes a key unguessable.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import zlib
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ENVIRONMENTS: Final = ("live", "test")
PREFIXES: Final = {environment: f"fk_{environment}_" for environment in ENVIRONMENTS}
RANDOM_LENGTH: Final = 26
CHECKSUM_LENGTH: Final = 6
KEY_LENGTH: Final = len("fk_live_") + RANDOM_LENGTH + CHECKSUM_LENGTH
# The part of a key that may be shown again: its environment and four characters.
SHOWN_LENGTH: Final = 12
_CHARACTERS: Final = frozenset(ALPHABET)


def _checksum(text: str) -> str:
    value = zlib.crc32(text.encode("ascii"))
    digits = []
    for _ in range(CHECKSUM_LENGTH):
        value, digit = divmod(value, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def new_key(environment: str) -> str:
    """A fresh key in plain text. It is shown once and never stored."""
    if environment not in PREFIXES:
        raise ValueError(f"expected environment live or test, got {environment!r}")
    body = PREFIXES[environment] + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_LENGTH))
    return body + _checksum(body)


def environment_of(key: str) -> str | None:
    """``live`` or ``test`` by the prefix; None when it is neither."""
    for environment, prefix in PREFIXES.items():
        if key.startswith(prefix):
            return environment
    return None


def is_well_formed(key: str) -> bool:
    """True when prefix, length, characters and checksum all fit."""
    if len(key) != KEY_LENGTH or environment_of(key) is None:
        return False
    body, checksum = key[:-CHECKSUM_LENGTH], key[-CHECKSUM_LENGTH:]
    if not _CHARACTERS.issuperset(key[8:]):
        return False
    return hmac.compare_digest(_checksum(body), checksum)


def hash_key(key: str) -> str:
    """SHA-256 of the key in hex: the only form that is stored."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def shown_prefix(key: str) -> str:
    """What lists may show to tell keys apart."""
    return key[:SHOWN_LENGTH]
