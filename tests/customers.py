"""Customers for tests: Alice is on Pro, Eve on Enterprise, each with a key; and a clean Redis and spool."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from apps.accounts.models import Account, User
from apps.core.redis import sync_redis
from apps.keys.format import hash_key
from apps.keys.models import ApiKey
from apps.keys.services import key_create, records_sync
from apps.tiers.admission import AdmissionRequest
from apps.tiers.catalogue import plans_ensure
from apps.tiers.models import Plan
from apps.usage.partitions import partitions_forget

PASSWORD = "correct-horse-battery"
_PATTERNS = ("focsal:auth:*", "focsal:usage:*")
_numbers = count(1)


@dataclass(frozen=True)
class Customer:
    account: Account
    user: User
    key: ApiKey
    plaintext: str

    @property
    def headers(self) -> dict[str, str]:
        return {"X-API-Key": self.plaintext}


def clear_redis() -> None:
    """Remove what accounts, limits and usage keep; other parts' keys stay."""
    client: Any = sync_redis()
    for pattern in _PATTERNS:
        names = list(client.scan_iter(pattern, count=1000))
        if names:
            client.delete(*names)


@pytest.fixture
def clean_redis(settings: Any, tmp_path: Path) -> Iterator[Any]:
    """An empty account Redis, and a spool of this test's own."""
    settings.VAR_DIR = tmp_path
    clear_redis()
    partitions_forget()
    yield sync_redis()
    clear_redis()
    partitions_forget()


def make_account(plan: str, name: str = "Someone") -> Account:
    plans_ensure()
    return Account.objects.create(name=name, plan=Plan.objects.get(slug=plan))


def make_customer(
    plan: str,
    name: str = "alice",
    environment: str | None = None,
    layers: Sequence[str] = (),
) -> Customer:
    """An account on ``plan`` with a user and a key whose record Redis has."""
    account = make_account(plan, name.title())
    email = f"{name}{next(_numbers)}@example.com"
    user = User.objects.create(email=email, account=account)
    created = key_create(
        account=account,
        name=f"{name}'s bot",
        environment=environment or settings.KEY_ENVIRONMENT,
        created_by=user,
        layers=layers,
    )
    # A test's own transaction never commits, so the record is written by hand.
    records_sync(key_ids=[created.key.pk])
    return Customer(account, user, created.key, created.plaintext)


def admission_request(key: str, **changes: Any) -> AdmissionRequest:
    fields: dict[str, Any] = {
        "key_hash": hash_key(key),
        "request_id": "req_test0001",
        "cost": 1,
        "layer": "L1",
        "metric": None,
        "asset": None,
        "if_none_match": None,
        "market_now_ms": 1_700_000_000_000,
        "path": "/v1/markets/funding",
        "method": "GET",
    }
    return AdmissionRequest(**{**fields, **changes})
