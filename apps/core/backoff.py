"""How long what has failed waits until it is tried again."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

LONGEST_WAIT: Final = timedelta(hours=1)
_FIRST_WAIT: Final = timedelta(seconds=10)


def wait_after(attempts: int) -> timedelta:
    """Until what has failed so often is tried again."""
    return min(LONGEST_WAIT, _FIRST_WAIT * (1 << min(attempts - 1, 12)))
