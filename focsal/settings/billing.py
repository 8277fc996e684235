"""Stripe, or the local double that stands for it where no key is set."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured

from focsal.settings.base import CONTENT_SECURITY_POLICY, IS_PRODUCTION, VAR_DIR
from focsal.settings.environment import env_int, env_str

_DOUBLE_KEY = "sk_test_focsal_double"
STRIPE_DOUBLE_PORT = env_int("FOCSAL_STRIPE_PORT", 18091, minimum=1)
STRIPE_SECRET_KEY = env_str("STRIPE_SECRET_KEY", "" if IS_PRODUCTION else _DOUBLE_KEY)
STRIPE_IS_DOUBLE = STRIPE_SECRET_KEY == _DOUBLE_KEY
STRIPE_API_BASE = env_str(
    "STRIPE_API_BASE",
    f"http://127.0.0.1:{STRIPE_DOUBLE_PORT}" if STRIPE_IS_DOUBLE else "https://api.stripe.com",
)
# The double and the platform share this one; Stripe gives each endpoint its own.
STRIPE_WEBHOOK_SECRET = env_str(
    "STRIPE_WEBHOOK_SECRET", "whsec_focsal_double" if STRIPE_IS_DOUBLE else ""
)
if STRIPE_SECRET_KEY and not STRIPE_WEBHOOK_SECRET:
    raise ImproperlyConfigured("STRIPE_WEBHOOK_SECRET must be set beside STRIPE_SECRET_KEY")
STRIPE_DOUBLE_STATE = VAR_DIR / "stripe-double.json"
BILLING_TRIAL_DAYS = env_int("FOCSAL_TRIAL_DAYS", 0)
BILLING_GRACE_DAYS = env_int("FOCSAL_GRACE_DAYS", 7)
BILLING_REVEAL_HOURS = env_int("FOCSAL_REVEAL_HOURS", 24, minimum=1)

_PAYMENT_PAGES = (
    [STRIPE_API_BASE]
    if STRIPE_IS_DOUBLE
    else ["https://checkout.stripe.com", "https://billing.stripe.com"]
)
# The button that leads to checkout is a form whose answer redirects there.
CONTENT_SECURITY_POLICY["DIRECTIVES"]["form-action"] += _PAYMENT_PAGES
