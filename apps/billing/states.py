"""What Stripe's words for the state of a subscription mean here, and how long what fails waits."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

LIVE: Final = ("active", "trialing", "past_due")
"""It runs: who has one changes it instead of buying another."""
OPEN: Final = (*LIVE, "incomplete", "unpaid", "paused")
"""It may ask for money yet."""
ENDED: Final = ("canceled", "incomplete_expired")
"""It asks for nothing any more."""
LONGEST_WAIT: Final = timedelta(hours=1)
_FIRST_WAIT: Final = timedelta(seconds=10)


def wait_after(attempts: int) -> timedelta:
    """Until what has failed so often is tried again."""
    return min(LONGEST_WAIT, _FIRST_WAIT * (1 << min(attempts - 1, 12)))
