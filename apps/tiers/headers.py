"""Limit headers and refusals: the same from the edge and from DRF."""

from __future__ import annotations

from apps.core import errors
from apps.core.errors import FocsalError
from apps.tiers.admission import Admission, Outcome

_LET_IN = frozenset({Outcome.ADMITTED, Outcome.NOT_MODIFIED})
MISSING_KEY_DETAIL = "Send the key as X-API-Key or Authorization: Bearer; none came."
MALFORMED_KEY_DETAIL = (
    "Expected fk_live_ or fk_test_ followed by 32 letters and digits; "
    "what came has a typo (its checksum does not fit)."
)


def rate_headers(admission: Admission) -> list[tuple[str, str]]:
    """Header names and values of a keyed response, whatever its status.

    Pass ``admission.settled(status)``, so that an uncounted answer shows its charge given back.
    Session calls have a minute window but no quotas; unknown keys have nothing to show.
    """
    if not admission.is_authenticated or admission.ts_us == 0:
        return []
    headers = [
        ("X-RateLimit-Limit", str(admission.limit)),
        ("X-RateLimit-Remaining", str(admission.remaining)),
        ("X-RateLimit-Reset", str(admission.reset_s)),
    ]
    if admission.is_keyed:
        headers.append(("X-Quota-Day-Remaining", str(admission.day_remaining)))
        headers.append(("X-Quota-Month-Remaining", str(admission.month_remaining)))
    return headers


def wrong_environment(expected: str) -> FocsalError:
    return errors.WrongEnvironment(
        f"This deployment expects a key beginning fk_{expected}_; the one sent is of another environment."
    )


def quota_exceeded(quota: str, wait_s: int) -> errors.QuotaExceeded:
    """``quota`` is ``day`` or ``month``."""
    return errors.QuotaExceeded(
        f"The account's {quota} quota is used up; it starts again in {wait_s} s (UTC).",
        retry_after=wait_s,
        extra={"quota": quota},
    )


def tier_required(admission: Admission, layer: str | None) -> FocsalError:
    """403 that says which layer and which plan has it."""
    if admission.denied_by == "key":
        detail = f"This key is restricted and does not include layer {layer}; the plan does."
        return errors.TierRequired(detail, extra={"required_layer": layer})
    required = admission.required_plan
    offer = f"the {required} plan has it" if required else "no plan offers it"
    detail = f"Layer {layer} is not part of the account's plan ({admission.plan}); {offer}."
    return errors.TierRequired(
        detail, extra={"required_layer": layer, "required_plan": required or None}
    )


def refusal(admission: Admission, environment: str) -> FocsalError | None:
    """The problem that a refused admission is answered with; None when it was let in."""
    outcome = admission.outcome
    if outcome in _LET_IN:
        return None
    if outcome is Outcome.UNKNOWN_KEY:
        return errors.InvalidApiKey("No such API key; check that it was copied whole.")
    if outcome is Outcome.REVOKED:
        return errors.RevokedApiKey("This API key was revoked; create another one.")
    if outcome is Outcome.EXPIRED:
        return errors.InvalidApiKey("This API key has expired; create another one.")
    if outcome is Outcome.WRONG_ENVIRONMENT:
        return wrong_environment(environment)
    if outcome is Outcome.SUSPENDED:
        return errors.KeySuspended(
            "This key goes on calling while it is refused, so it rests; "
            f"it works again in {admission.retry_after_s} s. Wait Retry-After seconds after a 429.",
            retry_after=admission.retry_after_s,
        )
    if outcome is Outcome.IP_NOT_ALLOWED:
        return errors.IpNotAllowed("This key may be used from its owner's listed addresses only.")
    if outcome is Outcome.TIER_REQUIRED:
        return tier_required(admission, admission.layer)
    if outcome is Outcome.RATE_LIMITED:
        return errors.RateLimited(
            f"{admission.limit} requests a minute are allowed; "
            f"the next is possible in {admission.retry_after_s} s.",
            retry_after=admission.retry_after_s,
        )
    if outcome is Outcome.QUOTA_EXCEEDED:
        return quota_exceeded(admission.quota, admission.retry_after_s or 0)
    return errors.SnapshotUnavailable(
        "The key could not be checked at the moment; try again shortly.",
        retry_after=admission.retry_after_s or 5,
    )
