"""The one way to Stripe: its own library, our base address, time limits and retries."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import stripe
from django.conf import settings

# To connect, and between two bytes of an answer.
_TIMEOUTS_S: Final = (3.05, 10)
_RETRIES: Final = 2


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
