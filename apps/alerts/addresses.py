"""Where a webhook may go: public HTTPS addresses and nothing that resolves to a house of ours. Pure.

A URL is checked when it is stored (form) and its host's addresses each time before something is sent
(``unreachable``), and the connection is then made to the very address that was checked: a name whose
answer changes in between gains nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

MAX_URL_CHARS: Final = 2000
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z")
# What resolvers and libcs read as an address: 2130706433, 0x7f.1, 0177.0.0.1.
_NUMERIC: Final = re.compile(r"(0x[0-9a-f]*|[0-9]+)\Z")
_PUBLIC_IPV6: Final = IPv6Network("2000::/3")
_REFUSED: Final = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv4Network("198.18.0.0/15"),
    IPv4Network("240.0.0.0/4"),
    # Tunnels and translators carry IPv4 addresses inside: 6to4, Teredo, NAT64, documentation.
    IPv6Network("2002::/16"),
    IPv6Network("2001::/23"),
    IPv6Network("64:ff9b::/96"),
    IPv6Network("64:ff9b:1::/48"),
    IPv6Network("2001:db8::/32"),
    IPv6Network("3fff::/20"),
)


class AddressRefused(ValueError):
    """The text says what was expected."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be stored. ``literal`` is its host as an address, None for a name."""

    url: str
    scheme: str
    host: str
    port: int
    literal: IPv4Address | IPv6Address | None


def target_of(url: str, *, allow_loopback: bool = False) -> Target:
    """The parts of a URL that may be sent to; raises ``AddressRefused``.

    ``allow_loopback`` is for tests and trials on one's own machine: http, and loopback addresses alone.
    """
    split, port = _split(url)
    host = (split.hostname or "").rstrip(".").lower()
    literal = _literal(host, split.netloc)
    loopback = allow_loopback and _is_loopback(host, literal)
    if split.scheme != "https" and not (loopback and split.scheme == "http"):
        raise AddressRefused(f"expected an https:// address, received {split.scheme or 'none'}")
    if literal is None and not loopback:
        _check_name(host)
    if literal is not None:
        reason = unreachable(literal, allow_loopback=allow_loopback)
        if reason is not None:
            raise AddressRefused(reason)
    default = 443 if split.scheme == "https" else 80
    return Target(url, split.scheme, host, default if port is None else port, literal)


def unreachable(address: IPv4Address | IPv6Address, *, allow_loopback: bool = False) -> str | None:
    """Why nothing is sent there; None for a public address."""
    if allow_loopback and address.is_loopback and _is_plain(address):
        return None
    is_public = (
        _is_plain(address)
        and address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address.version == one.version and address in one for one in _REFUSED)
        and (isinstance(address, IPv4Address) or address in _PUBLIC_IPV6)
    )
    return None if is_public else f"expected a public address, {address} is not one"


def _is_plain(address: IPv4Address | IPv6Address) -> bool:
    """No IPv4 address inside of an IPv6 one, no zone."""
    return isinstance(address, IPv4Address) or (
        address.ipv4_mapped is None and address.scope_id is None
    )


def _split(url: str) -> tuple[SplitResult, int | None]:
    if len(url) > MAX_URL_CHARS:
        raise AddressRefused(f"expected at most {MAX_URL_CHARS} characters, received {len(url)}")
    if not url.isascii() or not url.isprintable() or re.search(r"[\s\\]", url):
        raise AddressRefused("expected an address of plain ASCII characters without spaces")
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError:
        raise AddressRefused("expected an address such as https://example.com/hook") from None
    if not split.hostname:
        raise AddressRefused("expected an address such as https://example.com/hook")
    if split.username is not None or split.password is not None:
        raise AddressRefused("expected no user name or password in the address")
    if port == 0:
        raise AddressRefused("expected a port from 1 to 65535")
    return split, port


def _literal(host: str, netloc: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        if "[" in netloc:
            raise AddressRefused("expected an address between the brackets") from None
        return None


def _is_loopback(host: str, literal: IPv4Address | IPv6Address | None) -> bool:
    return host == "localhost" if literal is None else literal.is_loopback and _is_plain(literal)


def _check_name(host: str) -> None:
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.match(label) for label in labels):
        raise AddressRefused("expected a host name such as hooks.example.com")
    if _NUMERIC.match(labels[-1]):
        raise AddressRefused(
            "expected a host name or a plain address, not another form of a number"
        )
    if len(labels) < 2 or labels[-1] in {"localhost", "local", "internal", "localdomain"}:
        raise AddressRefused("expected the full name of a public host")
