"""Signatures as the Standard Webhooks specification has them. Pure.

``webhook-signature`` is a list of ``v1,<base64 HMAC-SHA256 of "id.timestamp.body">``, one for each secret
that is valid, so that a receiver may change its secret at any moment of a rotation.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final

PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = 32


def new_secret() -> str:
    """``whsec_`` and the base64 of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def signature(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def signed_headers(
    secrets_in_force: Sequence[str], message_id: str, timestamp_s: int, body: bytes
) -> dict[str, str]:
    """The three headers of the specification."""
    found = [signature(one, message_id, timestamp_s, body) for one in secrets_in_force]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(found),
    }
