"""The one way to Stripe: its own library, our base address, time limits and retries."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import stripe
from django.conf import settings
from django.core.cache import cache

# To connect, and between two bytes of an answer.
_TIMEOUTS_S: Final = (3.05, 10)
_RETRIES: Final = 2
# While Stripe does not answer, a worker tries it this often and does other work in between.
_PAUSE_S: Final = 20
_AWAY: Final = "billing:stripe-away"


@lru_cache(maxsize=4)
def _client(key: str, base: str) -> stripe.StripeClient:
    return stripe.StripeClient(
        key,
        base_addresses={"api": base},
        http_client=stripe.RequestsClient(timeout=_TIMEOUTS_S),
        max_network_retries=_RETRIES,
    )


def plain(found: stripe.StripeObject) -> dict[str, Any]:
    """Stripe's object as nested dictionaries."""
    return dict(found.to_dict())


def reference_id(reference: Any) -> str:
    """The id of a reference that may be expanded; empty for none."""
    if reference is None:
        return ""
    return reference if isinstance(reference, str) else str(reference["id"])


def stripe_client() -> stripe.StripeClient:
    """Against Stripe, or against the local double when no secret key is set."""
    return _client(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)


def is_away() -> bool:
    """Whether somebody has waited for Stripe in vain a moment ago."""
    return bool(cache.get(_AWAY))


def note_away() -> None:
    cache.set(_AWAY, 1, _PAUSE_S)
