"""``create_key`` and ``seed``."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.models import Account, User
from apps.keys.format import hash_key, is_well_formed
from apps.keys.models import ApiKey
from apps.keys.services import key_revoke
from apps.tiers.models import Plan

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]


def run(*args: str) -> str:
    out = io.StringIO()
    call_command(*args, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def seed() -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run("seed", "--demo").splitlines()[-1])
    return answer


def remember(var_dir: Path, demo: dict[str, Any]) -> None:
    (var_dir / "demo.json").write_text(json.dumps({"base_url": "http://x", **demo}))


def test_create_key_prints_the_key_and_nothing_else() -> None:
    plaintext = run("create_key", "--email", "Bob@Example.com", "--name", "bot").strip()
    assert is_well_formed(plaintext)
    key = ApiKey.objects.get(sha256=hash_key(plaintext))
    assert (key.name, key.environment, key.account.plan.slug) == ("bot", "test", "pro")
    again = run("create_key", "--email", "bob@example.com", "--name", "second").strip()
    assert ApiKey.objects.get(sha256=hash_key(again)).account_id == key.account_id


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--email", "no address", "--name", "bot"], "expected an e-mail address"),
        (["--email", "a@b.example", "--name", "bot", "--plan", "gold"], "expected one of free"),
        (["--email", "a@b.example", "--name", "bot", "--plan", "free"], "no API access"),
        (["--email", "a@b.example", "--name", "bot", "--layers", "L2"], "expected layers"),
        (["--email", "a@b.example", "--name", ""], "1 to 80"),
    ],
)
def test_create_key_refuses_and_leaves_nothing(args: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run("create_key", *args)
    assert not User.objects.exists()
    assert not Account.objects.exists()


def test_seed_without_demo_only_ensures_plans() -> None:
    Plan.objects.all().delete()
    assert run("seed") == ""
    assert list(Plan.objects.values_list("slug", "rate_per_minute", "quota_day")) == [
        ("free", 0, 0),
        ("plus", 0, 0),
        ("pro", 40, 25_000),
        ("enterprise", 300, 200_000),
    ]
    assert not User.objects.exists()


def test_seed_keeps_what_staff_changed() -> None:
    run("seed")
    Plan.objects.filter(slug="pro").update(rate_per_minute=55)
    run("seed")
    assert Plan.objects.get(slug="pro").rate_per_minute == 55


def test_demo_accounts_can_sign_in_and_call(settings: Any) -> None:
    demo = seed()
    assert set(demo) == {"keys", "login", "staff"}
    for plan in ("pro", "enterprise"):
        key = ApiKey.objects.get(sha256=hash_key(demo["keys"][plan]))
        assert key.is_active
        assert (key.account.plan.slug, key.account.is_demo) == (plan, True)
    user = User.objects.get(email=demo["login"]["email"])
    assert user.email == "enterprise@demo.focsal.test"
    assert user.check_password(demo["login"]["password"])
    staff = User.objects.get(email="staff@demo.focsal.test")
    assert staff.check_password(demo["staff"]["password"])
    assert (staff.is_staff, staff.is_superuser) == (True, False)
    assert [group.name for group in staff.groups.all()] == ["operations"]


def test_seeding_again_gives_the_same_while_the_file_is_there(settings: Any) -> None:
    first = seed()
    remember(settings.VAR_DIR, first)
    assert seed() == first
    assert ApiKey.objects.count() == 2


@pytest.mark.parametrize("content", [None, "not json", "[]", '{"keys": {"pro": 3}}'])
def test_without_a_usable_file_everything_is_made_anew(settings: Any, content: str | None) -> None:
    first = seed()
    if content is not None:
        (settings.VAR_DIR / "demo.json").write_text(content)
    second = seed()
    assert second["keys"]["pro"] != first["keys"]["pro"]
    assert second["login"]["password"] != first["login"]["password"]
    active = ApiKey.objects.filter(revoked_at__isnull=True)
    assert {key.sha256 for key in active} == {hash_key(k) for k in second["keys"].values()}


def test_a_revoked_demo_key_is_replaced(settings: Any) -> None:
    first = seed()
    remember(settings.VAR_DIR, first)
    key = ApiKey.objects.get(sha256=hash_key(first["keys"]["pro"]))
    key_revoke(account_id=key.account_id, key_id=key.pk)
    second = seed()
    assert second["keys"]["pro"] != first["keys"]["pro"]
    assert second["keys"]["enterprise"] == first["keys"]["enterprise"]


@pytest.mark.parametrize(("name", "value"), [("MARKET", "live"), ("IS_PRODUCTION", True)])
def test_demo_accounts_are_refused_on_live_and_in_production(
    settings: Any, name: str, value: Any
) -> None:
    setattr(settings, name, value)
    with pytest.raises(CommandError, match="sandbox and replay"):
        run("seed", "--demo")
    assert not User.objects.exists()
