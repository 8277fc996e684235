"""Where webhooks may go: forms of addresses that people have used to get inside."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.alerts.addresses import AddressRefused, target_of, unreachable

REFUSED_HOSTS = (
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001",
    "0", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254",
    "2852039166", "0xa9fea9fe", "198.18.0.1", "192.0.0.8", "192.0.2.1", "203.0.113.7", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]",
    "[::ffff:8.8.8.8]", "[::127.0.0.1]", "[fe80::1]", "[fe80::1%25eth0]", "[fc00::1]", "[fd12::1]",
    "[ff02::1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::a9fe:a9fe]", "[2002:7f00:1::]", "[2001:db8::1]",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]", "[100::1]", "localhost", "localhost.", "LOCALHOST",
    "api.localhost", "printer.local", "metadata.google.internal", "intranet", "a..b", "-a.com",
    "a b.com", "127.0.0.1.", "１２７.0.0.1", "例え.jp", "1.2.3.4.5", "host.0x7f",
)  # fmt: skip


@pytest.mark.parametrize("host", REFUSED_HOSTS)
def test_no_form_of_an_inner_address_is_taken(host: str) -> None:
    with pytest.raises(AddressRefused, match="expected"):
        target_of(f"https://{host}/hook")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "//example.com/",
        "example.com",
        "",
        "https://",
        "https:///x",
        "https://user:secret@example.com/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com/\n",
        "https://exa\tmple.com/",
        "https://[::1/",
        "https://[v1.x]/",
        "https://example.com/" + "a" * 2000,
    ],
)
def test_no_other_form_of_url_is_taken(url: str) -> None:
    with pytest.raises(AddressRefused):
        target_of(url)


def test_public_hosts_are_taken_as_they_stand() -> None:
    target = target_of("https://Hooks.Example.com:8443/a?b=c")
    assert (target.scheme, target.host, target.port) == ("https", "hooks.example.com", 8443)
    assert target.literal is None
    assert target_of("https://8.8.8.8/").literal == ip_address("8.8.8.8")
    assert target_of("https://[2606:4700::1111]/").port == 443


def test_loopback_is_opened_alone() -> None:
    assert target_of("http://127.0.0.1:9000/x", allow_loopback=True).port == 9000
    assert target_of("http://localhost:9000/x", allow_loopback=True).host == "localhost"
    assert target_of("http://[::1]:9000/", allow_loopback=True).literal == ip_address("::1")
    for other in ("http://example.com/", "http://10.0.0.1/", "https://169.254.169.254/"):
        with pytest.raises(AddressRefused):
            target_of(other, allow_loopback=True)
    with pytest.raises(AddressRefused):
        target_of("http://[::ffff:127.0.0.1]/", allow_loopback=True)


@given(st.ip_addresses())
def test_what_is_reachable_is_global_unicast(address: object) -> None:
    found = ip_address(str(address))
    if unreachable(found) is None:
        assert found.is_global
        bad = ("is_private", "is_loopback", "is_link_local", "is_multicast", "is_reserved")
        assert [name for name in bad if getattr(found, name)] == []


@given(st.text(max_size=60))
def test_any_text_is_taken_or_refused_and_nothing_else(text: str) -> None:
    for url in (text, f"https://{text}", f"https://example.com{text}"):
        try:
            target = target_of(url)
        except AddressRefused:
            continue
        assert (target.url, target.scheme) == (url, "https")
        assert target.host == target.host.lower()
        assert target.host.isascii()
        assert target.host in url.lower()
        assert 0 < target.port < 65_536
        assert target.literal is None or target.literal.is_global
