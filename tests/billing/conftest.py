"""A double of Stripe on loopback, whose events a test delivers by hand, in any order."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from django.conf import settings as django_settings
from django.core.cache import cache

from apps.accounts.models import User
from apps.accounts.services import email_mark_verified
from apps.billing.double.delivery import signature
from apps.billing.double.ledger import Ledger
from apps.billing.double.server import Double, DoubleConfig
from apps.billing.events import event_receive
from focsal.launcher.ports import free_port
from tests.customers import PASSWORD, Customer, clean_redis, make_account

__all__ = ["clean_redis"]


@dataclass
class StripeDouble:
    """The double and what it wanted to tell."""

    double: Double
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ledger(self) -> Ledger:
        return self.double.ledger

    def deliver(self, *events: dict[str, Any]) -> None:
        """As Stripe would: signed bytes."""
        for event in events:
            body = json.dumps(event).encode()
            event_receive(
                body, signature(body, django_settings.STRIPE_WEBHOOK_SECRET, int(time.time()))
            )

    def take(self) -> list[dict[str, Any]]:
        taken, self.events[:] = list(self.events), []
        return taken


@pytest.fixture
def stripe_double(settings: Any, tmp_path: Path) -> Iterator[StripeDouble]:
    port = free_port()
    config = DoubleConfig(
        port=port,
        api_key="sk_test_focsal_double",
        webhook_url="http://127.0.0.1:9/",
        webhook_secret="whsec_test",
        state_path=tmp_path / "double.json",
    )
    settings.STRIPE_SECRET_KEY = config.api_key
    settings.STRIPE_API_BASE = config.base
    settings.STRIPE_WEBHOOK_SECRET = config.webhook_secret
    events: list[dict[str, Any]] = []
    found = StripeDouble(Double(config, emit=events.append), events)
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def start() -> web.AppRunner:
        runner = web.AppRunner(found.double.application(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        ready.set()
        return runner

    def run() -> None:
        runner = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    yield found
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@dataclass(frozen=True)
class Visitor:
    """Somebody with an account on the free plan and no key."""

    user: User

    @property
    def account(self) -> Any:
        self.user.refresh_from_db()
        assert self.user.account is not None
        self.user.account.refresh_from_db()
        return self.user.account


def make_visitor(email: str = "vera@example.com") -> Visitor:
    account = make_account("free", "Vera")
    user = User.objects.create(email=email, account=account)
    user.set_password(PASSWORD)
    user.save()
    email_mark_verified(user)
    return Visitor(user)


@pytest.fixture
def vera(clean_redis: Any) -> Visitor:
    # What was learnt of a Stripe that is away outlives a test's rollback.
    cache.clear()
    return make_visitor()


__all__ += ["Customer", "StripeDouble", "Visitor", "make_visitor"]
