from __future__ import annotations

import os
import time

import pytest

from apps.core.ids import is_acceptable_request_id, new_request_id

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def test_ids_are_sortable_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for second in (1.0, 1.0015, 1.9e9, 2.0e9):
        monkeypatch.setattr(time, "time", lambda second=second: second)
        made.append(new_request_id())
    assert made == sorted(made)


def test_an_id_is_the_time_and_eighty_random_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.123)
    monkeypatch.setattr(os, "urandom", lambda size: b"\x00" * (size - 1) + b"\x21")
    text = new_request_id()
    value = 0
    for char in text.removeprefix("req_"):
        value = value * 32 + ALPHABET.index(char)
    assert len(text) == 30
    assert (value >> 80, value & ((1 << 80) - 1)) == (1_700_000_000_123, 0x21)


def test_ids_do_not_repeat() -> None:
    assert len({new_request_id() for _ in range(10_000)}) == 10_000


@pytest.mark.parametrize("value", ["abcd1234", "req_01-x_Y" * 6, "A" * 64])
def test_it_accepts_harmless_ids(value: str) -> None:
    assert is_acceptable_request_id(value)


@pytest.mark.parametrize(
    "value",
    ["", "short", "a" * 65, "id with space", "id\nnewline1", "abcdefgh\n", 'x"}{"y":1', "é" * 9],
)
def test_it_rejects_what_could_forge_a_log_line_or_header(value: str) -> None:
    assert not is_acceptable_request_id(value)
