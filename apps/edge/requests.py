"""One request as the edge reads it: headers in a dictionary, and the tests that need no look-up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from apps.core.ids import is_acceptable_request_id, new_request_id
from apps.edge.asgi_types import Scope
from apps.edge.plans import UNKNOWN, Remembered
from apps.edge.statics import Header, static_headers
from apps.keys.authentication import checked_key_hash, key_from_headers
from apps.keys.format import hash_key
from apps.markets.formats import accepts_json

_DEBUG_HOSTS: Final = [".localhost", "127.0.0.1", "[::1]"]


def header_map(pairs: Sequence[Header]) -> dict[bytes, bytes]:
    """Names are in lower case already. A repeated header is joined, as Django joins it."""
    headers = dict(pairs)
    if len(headers) != len(pairs):
        headers = {}
        for name, value in pairs:
            held = headers.get(name)
            headers[name] = value if held is None else held + b"," + value
    return headers


def request_id_of(headers: dict[bytes, bytes]) -> str:
    offered = headers.get(b"x-request-id")
    if offered is not None:
        text = offered.decode("latin-1")
        if is_acceptable_request_id(text):
            return text
    return new_request_id()


def client_ip_of(scope: Scope) -> str:
    """The caller's address as the server tells it (behind a trusted proxy, the proxy's word)."""
    client = scope.get("client")
    return client[0] if client else ""


class Gatekeeper:
    """Checks that depend on headers alone, remembered by their values."""

    def __init__(self) -> None:
        self._fitting = Remembered()
        self._well_formed = Remembered()
        self._session_cookie = settings.SESSION_COOKIE_NAME.encode() + b"="
        self._environment = settings.KEY_ENVIRONMENT

    def fitting(self, headers: dict[bytes, bytes], scheme: str) -> tuple[Header, ...] | None:
        """The static headers of an answer to such a caller; None when Django must answer: what
        ``trusted`` leaves to it, a format other than JSON, a body."""
        wanted = (
            headers.get(b"accept", b""),
            headers.get(b"host", b""),
            headers.get(b"x-forwarded-proto", b""),
            scheme,
        )
        known: tuple[Header, ...] | None = self._fitting.get(wanted, UNKNOWN)
        if known is UNKNOWN:
            known = (
                self.trusted(headers, scheme) if accepts_json(wanted[0].decode("latin-1")) else None
            )
            self._fitting.keep(wanted, known)
        if b"content-length" in headers or b"transfer-encoding" in headers:
            return None
        return known

    def trusted(self, headers: dict[bytes, bytes], scheme: str) -> tuple[Header, ...] | None:
        """The static headers; None for an unknown host, or plain HTTP where TLS is demanded."""
        if not is_allowed_host(headers.get(b"host", b"")):
            return None
        proxy: Any = settings.SECURE_PROXY_SSL_HEADER
        forwarded = headers.get(b"x-forwarded-proto", b"")
        if proxy is not None and forwarded:
            first = forwarded.decode("latin-1").split(",")[0].strip()
            scheme = "https" if first == proxy[1] else "http"
        if settings.SECURE_SSL_REDIRECT and scheme != "https":
            return None
        return static_headers(scheme)

    def key_hash(self, headers: dict[bytes, bytes]) -> str | None:
        """SHA-256 of the key in hex, None when no key came; raises the 401 of a malformed one."""
        api_key, authorization = headers.get(b"x-api-key"), headers.get(b"authorization")
        if api_key is None and authorization is None:
            return None
        key = key_from_headers(
            None if api_key is None else api_key.decode("latin-1"),
            None if authorization is None else authorization.decode("latin-1"),
        )
        if key is None:
            return None
        # Hashes of keys whose form was checked are remembered; keys themselves never are.
        hashed = hash_key(key)
        if hashed not in self._well_formed:
            self._well_formed.keep(checked_key_hash(key, self._environment), True)
        return hashed

    def has_session(self, headers: dict[bytes, bytes]) -> bool:
        return self._session_cookie in headers.get(b"cookie", b"")


def is_allowed_host(host: bytes) -> bool:
    allowed = settings.ALLOWED_HOSTS or (_DEBUG_HOSTS if settings.DEBUG else [])
    domain, _ = split_domain_port(host.decode("latin-1"))
    return bool(domain) and validate_host(domain, allowed)
