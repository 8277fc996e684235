"""Memory that a burst of work left behind goes back to the system."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any


def give_back() -> bool:
    """Hand free heap back to the system; False where the C library cannot (it is glibc's own call).

    glibc keeps what large arrays took, since it may be asked for as much again; after a burst that comes
    once in minutes, or once in a process's life, others need it more.
    """
    trim = _malloc_trim()
    return trim is not None and bool(trim(0))


@lru_cache(maxsize=1)
def _malloc_trim() -> Any:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
