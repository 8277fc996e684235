"""Secrets that must be readable again: encrypted under keys that only the settings know.

Each purpose has a key of its own, so that what is sealed for one cannot be opened as another.
"""

from __future__ import annotations

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


def _fernet(purpose: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode())
    return Fernet(base64.urlsafe_b64encode(derived.derive(settings.SECRET_KEY.encode())))


def seal(secret: str, purpose: str) -> bytes:
    return _fernet(purpose).encrypt(secret.encode())


def unseal(sealed: bytes, purpose: str) -> str | None:
    """None when it was sealed under another SECRET_KEY or for another purpose."""
    try:
        return _fernet(purpose).decrypt(bytes(sealed)).decode()
    except InvalidToken:
        return None
