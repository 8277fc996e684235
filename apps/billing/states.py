"""What Stripe's words for the state of a subscription mean here."""

from __future__ import annotations

from typing import Final

LIVE: Final = ("active", "trialing", "past_due")
"""It runs: who has one changes it instead of buying another."""
OPEN: Final = (*LIVE, "incomplete", "unpaid", "paused")
"""It may ask for money yet."""
ENDED: Final = ("canceled", "incomplete_expired")
"""It asks for nothing any more."""
