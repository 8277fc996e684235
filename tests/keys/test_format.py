"""The form of keys."""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.keys import format as key_format
from apps.keys.format import (
    ALPHABET,
    environment_of,
    hash_key,
    is_well_formed,
    new_key,
    shown_prefix,
)


@pytest.mark.parametrize("environment", ["live", "test"])
def test_a_new_key_has_the_promised_form(environment: str) -> None:
    key = new_key(environment)
    assert re.fullmatch(rf"fk_{environment}_[0-9A-Za-z]{{32}}", key)
    assert is_well_formed(key)
    assert environment_of(key) == environment


def test_the_checksum_is_crc32_in_base_62_zero_padded() -> None:
    body = "fk_live_" + "0" * 26
    value, digits = zlib.crc32(body.encode()), ""
    while value:
        value, digit = divmod(value, 62)
        digits = ALPHABET[digit] + digits
    assert is_well_formed(body + digits.rjust(6, "0"))


def test_keys_differ() -> None:
    assert len({new_key("test") for _ in range(1000)}) == 1000


def test_an_unknown_environment_is_refused() -> None:
    with pytest.raises(ValueError, match="expected environment live or test, got 'demo'"):
        new_key("demo")


@given(position=st.integers(0, 39), replacement=st.sampled_from(ALPHABET))
def test_any_single_typo_is_found(position: int, replacement: str) -> None:
    key = "fk_test_" + "Ab3" * 8 + "zZ"
    key += key_format._checksum(key)
    typo = key[:position] + replacement + key[position + 1 :]
    assert is_well_formed(typo) == (typo == key)


@given(position=st.integers(8, 38))
def test_swapped_neighbours_are_found(position: int) -> None:
    key = new_key("live")
    swapped = key[:position] + key[position + 1] + key[position] + key[position + 2 :]
    assert is_well_formed(swapped) == (swapped == key)


@given(st.text(max_size=60))
def test_arbitrary_text_never_raises(text: str) -> None:
    assert is_well_formed(text) is False
    assert len(hash_key(text)) == 64


def test_non_ascii_and_other_lengths_are_refused() -> None:
    key = new_key("test")
    for bad in (key[:-1], key + "0", "fk_test_" + "é" * 32, " " + key[1:], key.upper(), "\0" * 40):
        assert not is_well_formed(bad)


def test_the_hash_is_sha256_in_hex_and_the_prefix_12_characters() -> None:
    assert hash_key("fk_test_x") == hashlib.sha256(b"fk_test_x").hexdigest()
    key = new_key("live")
    assert shown_prefix(key) == key[:12]


def test_checksums_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []

    def spy(left: str, right: str) -> bool:
        compared.append((left, right))
        return hmac.compare_digest(left, right)

    class _Hmac:
        compare_digest = staticmethod(spy)

    monkeypatch.setattr(key_format, "hmac", _Hmac)
    key = new_key("test")
    assert is_well_formed(key)
    assert compared == [(key[-6:], key[-6:])]
