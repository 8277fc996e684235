"""IP addresses and networks as strings of binary digits, so that "is in" means "begins with".

The admission script has no notion of addresses; ``4:11000000101010000000000100000101`` begins with
``4:110000001010100000000001`` exactly when 192.168.1.5 lies in 192.168.1.0/24.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache


def network_digits(network: str) -> str:
    """An address or network in CIDR form; raises ``ValueError`` on anything else."""
    parsed = ipaddress.ip_network(network.strip(), strict=False)
    digits = f"{int(parsed.network_address):0{parsed.max_prefixlen}b}"
    return f"{parsed.version}:{digits[: parsed.prefixlen]}"


@lru_cache(maxsize=4096)
def address_digits(address: str) -> str:
    """A caller's address; empty when it is none (a unix socket). IPv4 in IPv6 clothes counts as IPv4."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return f"{parsed.version}:{int(parsed):0{parsed.max_prefixlen}b}"


def is_listed(address: str, networks: tuple[str, ...]) -> bool:
    """Whether a caller may use a key with these networks (as digits); without any, everybody may."""
    return not networks or address_digits(address).startswith(networks)
