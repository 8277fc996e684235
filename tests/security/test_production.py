"""What a deployment gets: strict settings, complete instructions, headers on every page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.test import Client

from apps.accounts.models import User
from focsal.settings.environment import BASE_DIR

_PRODUCTION = {
    "FOCSAL_ENV": "production",
    "FOCSAL_MARKET": "live",
    "SECRET_KEY": "kP3_vX9-aQ7wLm2ZtR5yBn8cHd4sFg6jUe1" * 2,
    "ALLOWED_HOSTS": "api.example.com",
    "DATABASE_URL": "postgres://a:b@127.0.0.1:9/x",
    "MARKET_DATABASE_URL": "postgres://a:b@127.0.0.1:9/y",
    "REDIS_URL": "redis://127.0.0.1:9/0",
    # Each of these would open something, and may not in production.
    "DJANGO_DEBUG": "true",
    "FOCSAL_STAFF_MFA": "false",
    "FOCSAL_WEBHOOKS_LOOPBACK": "true",
}
_NAMES = (
    *("DEBUG", "STAFF_NEED_MFA", "WEBHOOKS_ALLOW_LOOPBACK", "STRIPE_SECRET_KEY"),
    *("SESSION_COOKIE_SECURE", "SESSION_COOKIE_HTTPONLY", "SESSION_COOKIE_SAMESITE"),
    *("CSRF_COOKIE_SECURE", "LANGUAGE_COOKIE_SECURE", "SECURE_SSL_REDIRECT"),
    *("SECURE_HSTS_SECONDS", "SECURE_HSTS_INCLUDE_SUBDOMAINS", "ACCOUNT_DEFAULT_HTTP_PROTOCOL"),
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **_PRODUCTION}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_django_s_own_check_has_one_word_to_say() -> None:
    done = run("manage.py", "check", "--deploy")
    told = set(re.findall(r"\((\w+\.[WE]\d+)\)", done.stderr))
    # Listing a domain in browsers for ever is its owner's to decide: FOCSAL_HSTS_PRELOAD.
    assert (done.returncode, told) == (0, {"security.W021"})


def test_nothing_that_helps_developers_is_on() -> None:
    code = (
        "import orjson, sys; from focsal import settings as s;"
        f"sys.stdout.buffer.write(orjson.dumps({{n: getattr(s, n) for n in {_NAMES!r}}}))"
    )
    done = run("-c", code)
    assert done.returncode == 0, done.stderr[-500:]
    assert orjson.loads(done.stdout) == {
        "DEBUG": False,
        "STAFF_NEED_MFA": True,
        "WEBHOOKS_ALLOW_LOOPBACK": False,
        "STRIPE_SECRET_KEY": "",
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "CSRF_COOKIE_SECURE": True,
        "LANGUAGE_COOKIE_SECURE": True,
        "SECURE_SSL_REDIRECT": True,
        "SECURE_HSTS_SECONDS": 31_536_000,
        "SECURE_HSTS_INCLUDE_SUBDOMAINS": True,
        "ACCOUNT_DEFAULT_HTTP_PROTOCOL": "https",
    }


def test_the_example_names_every_setting() -> None:
    read = re.compile(r'env_(?:str|int|bool|list|float|choice|path|secret)\(\s*"([A-Z_0-9]+)"')
    found: set[str] = set()
    for source in (Path(BASE_DIR) / "focsal").rglob("*.py"):
        found |= set(read.findall(source.read_text()))
    named = (Path(BASE_DIR) / ".env.example").read_text()
    # Of rehearsals on one's own machine: README tells of them.
    rehearsal = {"FOCSAL_STRIPE_PORT", "STRIPE_API_BASE"}
    rehearsal |= {name for name in found if name.startswith("FOCSAL_SANDBOX_")}
    missing = [name for name in found - rehearsal if not re.search(rf"^#?{name}=", named, re.M)]
    assert missing == []


@pytest.mark.django_db(databases=["default", "market"])
@pytest.mark.parametrize("path", ["/", "/login/", "/signup/", "/pricing/", "/nowhere", "/billing/"])
def test_pages_carry_their_policies(path: str) -> None:
    headers = Client().get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert part in policy
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


@pytest.mark.django_db(databases=["default", "market"])
def test_the_admin_loads_nothing_from_elsewhere(clean_redis: Any) -> None:
    staff = User.objects.create(email="s@focsal.test", is_staff=True, is_superuser=True)
    TOTP.activate(staff, generate_totp_secret())
    client = Client()
    client.force_login(staff)
    page = client.get("/admin/")
    policy = page.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'self'" in policy
    found = re.findall(r"(?:src|href)=\"(https?:)?//[^\"]+", page.content.decode())
    assert found == []


@pytest.mark.parametrize(
    ("path", "title"), [("/nowhere", "Tu nic nie ma"), ("/docs/markets/none/", "Tu nic nie ma")]
)
@pytest.mark.django_db(databases=["default", "market"])
def test_a_page_that_is_not_there_says_so_in_polish(path: str, title: str) -> None:
    page = Client().get(path, headers={"Accept-Language": "pl"})
    assert page.status_code == 404
    assert title in page.content.decode()
    assert "site.css" in page.content.decode()


@pytest.mark.django_db(databases=["default", "market"])
def test_a_crash_has_a_page_in_polish_and_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: Any) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr("apps.dashboard.site.plans_shown", crash)
    client = Client(raise_request_exception=False)
    page = client.get("/pricing/", headers={"Accept-Language": "pl"})
    assert page.status_code == 500
    assert "secret of the inside" not in page.content.decode()
    assert "site.css" in page.content.decode()
    assert "Coś się u nas nie powiodło" in page.content.decode()
