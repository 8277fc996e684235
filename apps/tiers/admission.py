"""Asking for one request to be let in, and the answer; plain data, shared by edge and DRF."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    ADMITTED = "admitted"
    NOT_MODIFIED = "not_modified"
    UNKNOWN_KEY = "unknown_key"
    REVOKED = "revoked"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    IP_NOT_ALLOWED = "ip_not_allowed"
    WRONG_ENVIRONMENT = "wrong_environment"
    TIER_REQUIRED = "tier_required"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    # The counters were lost with Redis; only the gate sees this, it rebuilds them and asks again.
    REBUILD_COUNTERS = "rebuild_counters"
    # Neither Redis nor PostgreSQL could say whose key this is.
    UNAVAILABLE = "unavailable"


# Statuses that count nothing on day and month quotas, whatever was charged at admission.
_UNCOUNTED: Final = frozenset({304, 401, 429})


def is_counted(status: int) -> bool:
    """Whether an answer of this HTTP status counts on the quotas (DESIGN section 5)."""
    return status < 500 and status not in _UNCOUNTED


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """One keyed request. ``key_hash`` is the SHA-256 in hex, never the key.

    ``layer`` is None where no tier is asked for. ``metric`` and ``asset`` name the snapshot whose version
    decides about 304; without them ``if_none_match`` is not looked at. ``path`` has no query string.
    ``client_ip`` is held against the key's allow-list. ``now_us`` replaces Redis' own clock (tests).
    """

    key_hash: str
    request_id: str
    cost: int
    layer: str | None
    metric: str | None
    asset: str | None
    if_none_match: str | None
    market_now_ms: int
    path: str
    method: str
    params: str = ""
    now_us: int | None = None
    client_ip: str = ""


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """A page's own call by session cookie: the same minute window per user, nothing counted or logged."""

    user_id: int
    account_id: int
    plan: str
    layers: frozenset[str]
    rate_per_minute: int
    layer: str | None
    layer_plans: str = ""
    now_us: int | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """The decision, with everything that headers, refusals and the usage log need.

    ``reset_s`` is the Unix second at which the oldest request leaves the minute window.
    ``usage_id`` and ``ts_us`` (wall clock, µs) identify the usage event; empty when nothing was recorded.
    ``charged`` is what was taken from day and month quota. ``quota`` says which one is used up.
    ``required_plan`` names the cheapest plan with the layer, ``denied_by`` is ``plan`` or ``key``.
    """

    outcome: Outcome
    key_id: int = 0
    account_id: int = 0
    user_id: int = 0
    plan: str = ""
    layers: frozenset[str] = frozenset()
    limit: int = 0
    remaining: int = 0
    reset_s: int = 0
    day_remaining: int = 0
    month_remaining: int = 0
    retry_after_s: int | None = None
    charged: int = 0
    usage_id: str = ""
    ts_us: int = 0
    snapshot_version: int | None = None
    snapshot_ts_ms: int | None = None
    cadence_s: int | None = None
    quota: str = ""
    layer: str | None = None
    required_plan: str = ""
    denied_by: str = ""
    layer_plans: str = ""

    @property
    def is_authenticated(self) -> bool:
        """True when the key (or session) is known and valid, whether or not the request was let in."""
        return (self.key_id != 0 or self.user_id != 0) and self.outcome not in (
            Outcome.REVOKED,
            Outcome.EXPIRED,
            Outcome.SUSPENDED,
            Outcome.IP_NOT_ALLOWED,
            Outcome.WRONG_ENVIRONMENT,
        )

    @property
    def is_keyed(self) -> bool:
        return self.key_id != 0

    def settled(self, status: int) -> Admission:
        """As the headers should show it: an answer that counts nothing gives its charge back."""
        if self.charged == 0 or is_counted(status):
            return self
        return replace(
            self,
            day_remaining=self.day_remaining + self.charged,
            month_remaining=self.month_remaining + self.charged,
            charged=0,
        )


def plan_for_layer(layer_plans: str, layer: str | None) -> str:
    """The plan's name in ``L1=Pro,L2=Enterprise``; empty when no plan has the layer."""
    for pair in layer_plans.split(","):
        name, _, plan = pair.partition("=")
        if name == layer:
            return plan
    return ""
