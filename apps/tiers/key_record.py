"""A key with its plan's limits, as the admission script and the local fallback read it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """``layers`` are the key's own, ``plan_layers`` the plan's; ``expires_s`` is Unix seconds, 0 for never.

    ``layer_plans`` names the cheapest plan of each layer; ``version`` increases with every change.
    """

    key_hash: str
    key_id: int
    account_id: int
    environment: str
    is_revoked: bool
    plan: str
    layers: frozenset[str]
    plan_layers: frozenset[str]
    rate_per_minute: int
    quota_day: int
    quota_month: int
    expires_s: int
    layer_plans: str
    version: int

    def fields(self) -> list[str | int]:
        """Field, value, … of the Redis hash."""
        return [
            *("key", self.key_id, "account", self.account_id, "env", self.environment),
            *("status", "revoked" if self.is_revoked else "active", "plan", self.plan),
            *("layers", ",".join(sorted(self.layers))),
            *("plan_layers", ",".join(sorted(self.plan_layers))),
            *("rate", self.rate_per_minute, "day", self.quota_day, "month", self.quota_month),
            *("expires", self.expires_s, "layer_plans", self.layer_plans),
        ]
