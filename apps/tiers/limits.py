"""The one script that decides about a request, from blocking and asyncio clients alike.

``SyncLimiter`` and ``AsyncLimiter`` make exactly one Redis round trip and report what the script said,
``unknown_key`` and ``rebuild_counters`` included. ``apps.tiers.gate`` is what views and the edge call: it
also loads unknown keys, rebuilds counters and falls back when Redis is away.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import redis
import redis.asyncio as aredis
from django.conf import settings
from redis.exceptions import NoScriptError

from apps.core.logs import redact
from apps.core.redis import market_key
from apps.tiers.addresses import address_digits
from apps.tiers.admission import (
    Admission,
    AdmissionRequest,
    Outcome,
    SessionRequest,
    is_counted,
    plan_for_layer,
)

__all__ = [
    "ADMIT_LUA",
    "ADMIT_SHA",
    "Admission",
    "AdmissionRequest",
    "AsyncLimiter",
    "Outcome",
    "SessionRequest",
    "SyncLimiter",
    "decode",
    "encode",
    "encode_session",
    "etag_candidates",
    "is_counted",
    "key_record_name",
]

# Keys and limits are the accounts', so they are named without a market.
AUTH_PREFIX: Final = "focsal:auth:"
SENTINEL: Final = "focsal:auth:sentinel"
ADMISSIONS_STREAM: Final = "focsal:usage:admissions"
COMPLETIONS_STREAM: Final = "focsal:usage:completions"
WINDOW_S: Final = 60
_LUA: Final = Path(__file__).parent / "lua"
_ETAG: Final = re.compile(r'"(0|[1-9a-z][0-9a-z]{0,15})-([fsv])"')
_MAX_ETAGS: Final = 16
_MAX_TEXT: Final = 200


def load_script(name: str) -> tuple[str, str]:
    """A Lua file's text and its SHA-1."""
    text = (_LUA / name).read_text(encoding="utf-8")
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


ADMIT_LUA, ADMIT_SHA = load_script("admit.lua")


def key_record_name(key_hash: str) -> str:
    return f"{AUTH_PREFIX}key:{key_hash}"


def etag_candidates(if_none_match: str | None) -> str:
    """``W/"a1-f", "b2-s"`` as the script compares them: ``"361-f 398-s"``; ``*`` stays ``*``.

    Comparison is weak, so ``W/`` makes no difference; tags of other makes are left out.
    """
    if not if_none_match:
        return ""
    if if_none_match.strip() == "*":
        return "*"
    found = _ETAG.findall(if_none_match[:4096])[:_MAX_ETAGS]
    return " ".join(f"{int(version, 36)}-{letter}" for version, letter in found)


def clean_text(text: str) -> str:
    """A path or parameters as the usage log may keep them: no key, bounded, no control characters."""
    text = text[:_MAX_TEXT]
    if "fk_" in text or "=" in text:
        text = redact(text)
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def encode(request: AdmissionRequest) -> tuple[list[str], list[str | int]]:
    """KEYS and ARGV of the script: for ``evalsha(ADMIT_SHA, len(keys), *keys, *arguments)``."""
    snapshot = ""
    if request.metric and request.asset:
        snapshot = market_key("snap", request.metric, request.asset)
    keys = [key_record_name(request.key_hash), snapshot, ADMISSIONS_STREAM, SENTINEL]
    arguments: list[str | int] = [
        settings.KEY_ENVIRONMENT,
        request.cost,
        request.layer or "",
        etag_candidates(request.if_none_match),
        request.market_now_ms,
        request.request_id,
        request.method,
        clean_text(request.path),
        settings.MARKET,
        "" if request.now_us is None else request.now_us,
        request.metric or "",
        clean_text(request.params),
        "",
        address_digits(request.client_ip),
    ]
    return keys, arguments


def encode_session(request: SessionRequest) -> tuple[list[str], list[str | int]]:
    record = ";".join(
        (
            str(request.user_id),
            str(request.account_id),
            request.plan,
            ",".join(sorted(request.layers)),
            str(request.rate_per_minute),
            request.layer_plans,
        )
    )
    now = "" if request.now_us is None else request.now_us
    arguments: list[str | int] = [settings.KEY_ENVIRONMENT, 1, request.layer or "", "", 0]
    arguments += ["", "", "", settings.MARKET, now, "", "", record, ""]
    return ["", "", ADMISSIONS_STREAM, SENTINEL], arguments


@lru_cache(maxsize=64)
def _layer_set(text: str) -> frozenset[str]:
    return frozenset(filter(None, text.split(",")))


def _number(raw: bytes) -> int | None:
    # A snapshot's version and times; the script passes them through as they were published.
    return int(raw) if raw else None


def decode(raw: list[Any], layer: str | None) -> Admission:
    """The script's answer as an ``Admission``."""
    text = [part.decode() if isinstance(part, bytes) else str(part) for part in raw]
    layer_plans = text[20]
    outcome = Outcome(text[0])
    denied = outcome is Outcome.TIER_REQUIRED
    return Admission(
        outcome=outcome,
        key_id=int(text[1]),
        account_id=int(text[2]),
        user_id=int(text[3]),
        plan=text[4],
        layers=_layer_set(text[5]),
        limit=int(text[6]),
        remaining=int(text[7]),
        reset_s=int(text[8]),
        day_remaining=int(text[9]),
        month_remaining=int(text[10]),
        retry_after_s=int(text[11]) if text[11] else None,
        charged=int(text[12]),
        usage_id=text[13],
        ts_us=int(text[14]),
        snapshot_version=_number(raw[15]),
        snapshot_ts_ms=_number(raw[16]),
        cadence_s=_number(raw[17]),
        quota=text[18],
        layer=layer,
        required_plan=plan_for_layer(layer_plans, layer) if denied else "",
        denied_by=text[19],
        layer_plans=layer_plans,
    )


class SyncLimiter:
    """One blocking round trip per decision."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def admit(self, request: AdmissionRequest) -> Admission:
        return decode(self._run(*encode(request)), request.layer)

    def admit_session(self, request: SessionRequest) -> Admission:
        return decode(self._run(*encode_session(request)), request.layer)

    def _run(self, keys: list[str], arguments: list[str | int]) -> list[Any]:
        client: Any = self._client
        try:
            result = client.evalsha(ADMIT_SHA, len(keys), *keys, *arguments)
        except NoScriptError:
            result = client.eval(ADMIT_LUA, len(keys), *keys, *arguments)
        return list(result)


class AsyncLimiter:
    """One asyncio round trip per decision; belongs to the event loop of its client."""

    def __init__(self, client: aredis.Redis) -> None:
        self._client = client

    async def admit(self, request: AdmissionRequest) -> Admission:
        return decode(await self._run(*encode(request)), request.layer)

    async def admit_session(self, request: SessionRequest) -> Admission:
        return decode(await self._run(*encode_session(request)), request.layer)

    async def _run(self, keys: list[str], arguments: list[str | int]) -> list[Any]:
        client: Any = self._client
        try:
            result = await client.evalsha(ADMIT_SHA, len(keys), *keys, *arguments)
        except NoScriptError:
            result = await client.eval(ADMIT_LUA, len(keys), *keys, *arguments)
        return list(result)
