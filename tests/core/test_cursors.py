"""Cursors survive the round trip and nothing else passes for one."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.cursors import decode_cursor, encode_cursor
from apps.core.errors import InvalidParameter


class Position(msgspec.Struct, frozen=True):
    asset: str
    after_ms: int


def test_a_cursor_reads_back() -> None:
    text = encode_cursor(Position("BTC", 1_779_048_873_000))
    assert decode_cursor(text, Position) == Position("BTC", 1_779_048_873_000)
    assert text.isascii()
    assert "=" not in text
    assert "+" not in text


@given(st.text(max_size=600))
def test_text_that_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        decode_cursor(text, Position)
    assert caught.value.param == "cursor"


@given(st.integers(0, 39), st.sampled_from("ABCxyz019-_"))
def test_a_cursor_with_one_wrong_character_is_refused(index: int, char: str) -> None:
    text = encode_cursor(Position("BTC", 1_779_048_873_000))
    index %= len(text)
    changed = text[:index] + char + text[index + 1 :]
    if changed != text:
        try:
            position = decode_cursor(changed, Position)
        except InvalidParameter:
            return
        # Only bits behind the last byte may differ without notice.
        assert position == Position("BTC", 1_779_048_873_000)
        assert index == len(text) - 1


def test_a_cursor_of_another_shape_is_refused() -> None:
    class Other(msgspec.Struct, frozen=True):
        page: str

    with pytest.raises(InvalidParameter):
        decode_cursor(encode_cursor(Other("x")), Position)
