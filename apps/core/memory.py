"""Memory: what a burst left behind goes back to the system, what stays is not looked at over and over."""

from __future__ import annotations

import ctypes
import gc
from functools import lru_cache
from typing import Any


def keep_what_is_loaded() -> None:
    """Take everything there is by now, mostly imported code, out of later collections.

    A full collection over the imported application stops the process for about 90 ms; without it, for
    less than one.
    """
    gc.collect()
    gc.freeze()


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
