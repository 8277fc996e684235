"""What is given back to the system, and what is left out of later collections."""

from __future__ import annotations

import gc
import platform

import numpy as np
import psutil
import pytest

from apps.core import memory

MIB = 1 << 20


def test_what_a_burst_left_goes_back() -> None:
    if platform.libc_ver()[0] != "glibc":
        assert not memory.give_back()
        return
    process = psutil.Process()
    # Small blocks lie in the heap; one at its top that stays keeps the heap from shrinking by itself.
    burst = [np.ones(1024) for _ in range(8 * 1024)]
    stays = np.ones(1024)
    del burst
    before = process.memory_info().rss
    assert memory.give_back()
    assert before - process.memory_info().rss > 32 * MIB
    assert stays.sum() == 1024


def test_a_c_library_without_the_call_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_malloc_trim", lambda: None)
    assert not memory.give_back()


def test_later_collections_look_only_at_what_came_since() -> None:
    kept = [[number] for number in range(1000)]
    try:
        memory.keep_what_is_loaded()
        followed = {id(one) for one in gc.get_objects()}
        assert gc.get_freeze_count() > 1000
        assert not followed & {id(one) for one in kept}
        since = [[1]]
        assert any(one is since for one in gc.get_objects())
    finally:
        gc.unfreeze()
