"""One POST to the outside: the host's addresses are looked up, checked and pinned; nothing is followed.

Bounds: ten seconds for everything (look-up, TLS, answer), no redirect, no decompression, and of the answer
only its status is read.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from apps.alerts.addresses import AddressRefused, Target, target_of, unreachable
from apps.core.logs import get_logger

TIMEOUT_S: Final = 10.0
_MAX_HEADER_BYTES: Final = 8190
_log = get_logger(__name__)
Address: TypeAlias = IPv4Address | IPv6Address
Lookup: TypeAlias = Callable[[str, int], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class Post:
    """What is to be sent."""

    url: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """``status_code`` is None when no answer came; then ``error`` says why."""

    status_code: int | None
    error: str
    latency_ms: int

    @property
    def is_delivered(self) -> bool:
        return self.status_code is not None and 200 <= self.status_code < 300

    @property
    def is_gone(self) -> bool:
        """The receiver wants no more."""
        return self.status_code == 410

    @property
    def text(self) -> str:
        return self.error or f"the receiver answered {self.status_code}"


async def system_lookup(host: str, port: int) -> list[str]:
    """The host's addresses as the system's resolver tells them."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class Sender:
    """Stateless but for its settings; ``lookup`` and ``tls`` are given by tests."""

    def __init__(
        self,
        *,
        allow_loopback: bool = False,
        lookup: Lookup = system_lookup,
        timeout_s: float = TIMEOUT_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allow_loopback = allow_loopback
        self._lookup = lookup
        self._timeout_s = timeout_s
        self._tls = tls

    async def send(self, post: Post) -> Outcome:
        """Never raises for what the other side does."""
        started = time.perf_counter()
        status: int | None = None
        error = ""
        try:
            async with asyncio.timeout(self._timeout_s):
                status = await self._send(post)
        except AddressRefused as refused:
            error = f"not sent: {refused}"
        except TimeoutError:
            error = f"no answer within {self._timeout_s:g} s"
        except socket.gaierror:
            error = "the host name has no address"
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            error = _told(failure)
        except Exception as failure:
            # Whatever one receiver brings about, the others of its batch get theirs.
            _log.exception("webhook_sender_failed")
            error = _told(failure)
        if status is not None and 300 <= status < 400:
            error = f"the receiver answered {status}; redirects are not followed"
        return Outcome(status, error, int((time.perf_counter() - started) * 1000))

    async def _send(self, post: Post) -> int:
        target = target_of(post.url, allow_loopback=self._allow_loopback)
        address = await self._address(target)
        connector = aiohttp.TCPConnector(
            resolver=_Pinned(target, address),
            use_dns_cache=False,
            force_close=True,
            ssl=self._tls or True,
        )
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                max_line_size=_MAX_HEADER_BYTES,
                max_field_size=_MAX_HEADER_BYTES,
            ) as session,
            session.post(
                post.url, data=post.body, headers=dict(post.headers), allow_redirects=False
            ) as answer,
        ):
            # The body is none of our business, however long it is.
            answer.close()
            return answer.status

    async def _address(self, target: Target) -> Address:
        if target.literal is not None:
            return target.literal
        found = [ip_address(one) for one in await self._lookup(target.host, target.port)]
        if not found:
            raise socket.gaierror
        for address in found:
            reason = unreachable(address, allow_loopback=self._allow_loopback)
            if reason is not None:
                raise AddressRefused(reason)
        # A machine without IPv6 reaches the other one.
        return min(found, key=lambda one: one.version)


class _Pinned(AbstractResolver):
    """Answers with the address that was checked, and for no other host."""

    def __init__(self, target: Target, address: Address) -> None:
        self._target = target
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if host.rstrip(".").lower() != self._target.host:
            raise AddressRefused("expected the host that was checked")
        is_v4 = isinstance(self._address, IPv4Address)
        return [
            ResolveResult(
                hostname=host,
                host=str(self._address),
                port=port,
                family=socket.AF_INET if is_v4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        return None


def _told(failure: Exception) -> str:
    if isinstance(failure, aiohttp.ClientConnectorCertificateError | ssl.SSLError):
        return "the TLS certificate is not valid"
    if isinstance(failure, aiohttp.ClientConnectorError | ConnectionError):
        return "the connection was refused or broken"
    if isinstance(failure, aiohttp.ServerDisconnectedError):
        return "the receiver closed the connection without an answer"
    return f"no valid HTTP answer ({type(failure).__name__})"


def sends(sender: Sender, posts: list[Post]) -> list[Outcome]:
    """All of them at once, from blocking code."""

    async def run() -> list[Any]:
        return await asyncio.gather(*(sender.send(post) for post in posts))

    return asyncio.run(run())
