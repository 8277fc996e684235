"""A key with its plan's limits, as the admission script and the local fallback read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """``layers`` are the key's own, ``plan_layers`` the plan's; ``expires_s`` is Unix seconds, 0 for never.

    ``layer_plans`` names the cheapest plan of each layer; ``version`` increases with every change.
    ``networks`` are the allowed addresses as binary digits (``apps.tiers.addresses``), ``channels`` the
    stream channels that the key is restricted to; empty means all. It rests until ``suspended_s``.
    ``max_sockets`` and ``max_subscriptions`` (per socket) are 0 for plans without streaming.
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
    networks: tuple[str, ...] = ()
    channels: frozenset[str] = frozenset()
    suspended_s: int = 0
    max_sockets: int = 0
    max_subscriptions: int = 0

    def fields(self) -> list[str | int]:
        """Field, value, … of the Redis hash."""
        return [
            *("key", self.key_id, "account", self.account_id, "env", self.environment),
            *("status", "revoked" if self.is_revoked else "active", "plan", self.plan),
            *("layers", ",".join(sorted(self.layers))),
            *("plan_layers", ",".join(sorted(self.plan_layers))),
            *("rate", self.rate_per_minute, "day", self.quota_day, "month", self.quota_month),
            *("expires", self.expires_s, "layer_plans", self.layer_plans),
            *("ips", ",".join(self.networks), "channels", ",".join(sorted(self.channels))),
            *("suspended", self.suspended_s),
            *("sockets", self.max_sockets, "subscriptions", self.max_subscriptions),
        ]

    @classmethod
    def from_fields(cls, key_hash: str, fields: Mapping[str, str]) -> Self | None:
        """The record as ``fields`` wrote it; None for an unknown key or an older form of the record."""
        if "subscriptions" not in fields:
            return None
        return cls(
            key_hash=key_hash,
            key_id=int(fields["key"]),
            account_id=int(fields["account"]),
            environment=fields["env"],
            is_revoked=fields["status"] != "active",
            plan=fields["plan"],
            layers=_names(fields["layers"]),
            plan_layers=_names(fields["plan_layers"]),
            rate_per_minute=int(fields["rate"]),
            quota_day=int(fields["day"]),
            quota_month=int(fields["month"]),
            expires_s=int(fields["expires"]),
            layer_plans=fields["layer_plans"],
            version=int(fields["version"]),
            networks=tuple(filter(None, fields["ips"].split(","))),
            channels=_names(fields["channels"]),
            suspended_s=int(fields["suspended"]),
            max_sockets=int(fields["sockets"]),
            max_subscriptions=int(fields["subscriptions"]),
        )


def _names(text: str) -> frozenset[str]:
    return frozenset(filter(None, text.split(",")))
