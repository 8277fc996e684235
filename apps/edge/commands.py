"""The admission command of one route and asset as bytes, with holes for what changes per request.

The limiter's own encoder writes the command once, with marks in the holes; so the edge follows every
change of the script's arguments without a list of its own.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from apps.edge.redis_pipe import pack
from apps.tiers.addresses import address_digits
from apps.tiers.admission import AdmissionRequest
from apps.tiers.limits import ADMIT_SHA, encode, etag_candidates

_HASH_MARK: Final = "0123456789abcdef" * 4
_ID_MARK: Final = "request-id-mark"
_ETAG_MARK: Final = '"mark-f"'
_NOW_MARK: Final = 7_777_777_777_777
_IP_MARK: Final = "203.0.113.77"
_EMPTY: Final = b"$0\r\n\r\n"


def bulk(value: bytes) -> bytes:
    """A Redis bulk string."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def etag_bulk(if_none_match: bytes | None) -> bytes:
    if if_none_match is None:
        return _EMPTY
    return bulk(etag_candidates(if_none_match.decode("latin-1")).encode())


@lru_cache(maxsize=4096)
def address_bulk(client_ip: str) -> bytes:
    return bulk(address_digits(client_ip).encode())


class AdmitCommand:
    """``EVALSHA`` of the limiter for one route, asset, method and set of logged parameters."""

    __slots__ = ("_after_address", "_after_hash", "_after_id", "_before_hash")

    def __init__(
        self, *, layer: str, metric: str, asset: str, path: str, method: str, params: str
    ) -> None:
        marked = AdmissionRequest(
            key_hash=_HASH_MARK,
            request_id=_ID_MARK,
            cost=1,
            layer=layer,
            metric=metric,
            asset=asset,
            if_none_match=_ETAG_MARK,
            market_now_ms=_NOW_MARK,
            path=path,
            method=method,
            params=params,
            client_ip=_IP_MARK,
        )
        packed = pack_admission(marked)
        # These three stand side by side in the script's arguments.
        middle = etag_bulk(_ETAG_MARK.encode()) + bulk(b"%d" % _NOW_MARK) + bulk(_ID_MARK.encode())
        self._before_hash, rest = packed.split(_HASH_MARK.encode())
        self._after_hash, rest = rest.split(middle)
        self._after_id, self._after_address = rest.split(address_bulk(_IP_MARK))

    def fill(
        self,
        key_hash: str,
        if_none_match: bytes | None,
        now_ms: int,
        request_id: str,
        client_ip: str,
    ) -> bytes:
        now = b"%d" % now_ms
        return b"%b%b%b%b$%d\r\n%b\r\n$%d\r\n%b\r\n%b%b%b" % (
            self._before_hash,
            key_hash.encode(),
            self._after_hash,
            _EMPTY if if_none_match is None else etag_bulk(if_none_match),
            len(now),
            now,
            len(request_id),
            request_id.encode(),
            self._after_id,
            address_bulk(client_ip),
            self._after_address,
        )


def pack_admission(request: AdmissionRequest) -> bytes:
    """The whole command of a request that has no template."""
    keys, arguments = encode(request)
    return pack("EVALSHA", ADMIT_SHA, len(keys), *keys, *arguments)
