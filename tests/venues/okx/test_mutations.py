"""Every kind of message with any of its values replaced: no exception, nothing untrue, everything counted."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.venues.okx.parse import OkxParser
from apps.venues.parsing import ParserStats
from tests.venues.adapter_contract import (
    TS_RECV,
    assert_sane,
    expectations,
    fixture_instruments,
    frame,
)

NAMES = sorted(name for name in expectations("okx") if name.endswith(".json"))
HOSTILE: st.SearchStrategy[Any] = st.sampled_from(
    [
        None, True, -1, 0, 1e308, 10**30, "", "nan", "inf", "-inf", "1e999", "-5", "0", "1e-9", "9" * 40,
        [], {}, [[]], [["1"]], ["1", "2"], "BTC-USDT-SWAP", "books", "snapshot", "net", "\u0000", "ünknown",
    ]
) | st.text(max_size=12)  # fmt: skip


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every value of a document is."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths_of(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths_of(inner, (*path, index))


def replaced(document: Any, path: tuple[Any, ...], value: Any, *, remove: bool) -> Any:
    changed = copy.deepcopy(document)
    target = changed
    for key in path[:-1]:
        target = target[key]
    if remove:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return changed


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_value_may_be_anything(name: str, data: st.DataObject) -> None:
    document = json.loads(frame("okx", name))
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(sorted(paths_of(document), key=str)))
        remove = data.draw(st.booleans()) and data.draw(st.booleans())
        document = replaced(document, path, data.draw(HOSTILE), remove=remove)
        if not document:
            break
    stats = ParserStats("okx")
    parser = OkxParser(fixture_instruments("okx"), stats)
    raw = json.dumps(document, separators=(",", ":")).encode()
    for event in parser.parse(raw, TS_RECV):
        assert_sane(event)
    assert stats.messages >= 1
