"""The public pages: what they say is what is in the tables and the registry."""

from __future__ import annotations

import html
import re

import pytest
from django.test import Client

from apps.core.redis import sync_redis
from apps.dashboard.landing import SAMPLE_ASSET, SAMPLE_METRIC
from apps.snapshots import store
from apps.snapshots.contracts import SnapshotDocument
from apps.snapshots.registry import all_specs
from apps.tiers.catalogue import plans_ensure
from apps.tiers.models import Plan

pytestmark = pytest.mark.django_db(databases=["default", "market"])


@pytest.mark.parametrize("path", ["/", "/pricing/"])
def test_plans_are_those_that_staff_set(path: str) -> None:
    plans_ensure()
    Plan.objects.filter(slug="pro").update(price_usd_month=123, rate_per_minute=77)
    text = Client().get(path).content.decode()
    assert "$123" in text
    assert "77 requests a minute" in text
    assert text.count('href="/account/billing/?plan=') == 2


def test_a_plan_that_is_not_public_is_not_shown() -> None:
    plans_ensure()
    Plan.objects.filter(slug="enterprise").update(is_public=False)
    assert "plan-enterprise" not in Client().get("/pricing/").content.decode()


def test_layers_say_what_answers_today() -> None:
    text = Client().get("/").content.decode()
    for spec in all_specs():
        assert f"<code>{spec.path}</code>" in text
    live = {spec.layer for spec in all_specs()}
    assert text.count('<span class="badge good">live</span>') == len(live)
    assert text.count('<span class="badge">in the making</span>') == 4 - len(live)


def test_the_three_pillars_are_visible() -> None:
    text = Client().get("/").content.decode()
    for pillar in ("Educational only", "Risk warning", "Do your own research", "MiFID II"):
        assert pillar in text


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_inline() -> None:
    for path in ("/", "/pricing/"):
        text = Client().get(path).content.decode()
        assert re.findall(r'(?:src|href)="(?:https?:)?//', text) == []
        assert "<style" not in text
        assert " style=" not in text
        assert re.findall(r"<script(?![^>]*\bsrc=)", text) == []


def test_the_sample_is_the_answer_of_this_moment() -> None:
    forget(SAMPLE_METRIC, SAMPLE_ASSET)
    assert "From the answer at this moment" not in Client().get("/").content.decode()
    head = b'{"asset":"BTC","aggregate":{"value":0.0123,"z_score":null},"venues":{},"meta":{"age":'
    store.publish(SnapshotDocument(SAMPLE_METRIC, SAMPLE_ASSET, 1, 1_000, 60, head, b"}}", False))
    try:
        text = html.unescape(Client().get("/").content.decode())
    finally:
        forget(SAMPLE_METRIC, SAMPLE_ASSET)
    assert "From the answer at this moment" in text
    assert '"value": 0.0123' in text
    assert '"z_score": null' in text


def test_browsers_find_the_icon() -> None:
    assert Client().get("/favicon.ico")["Location"].endswith("img/icon.svg")


def forget(metric: str, asset: str) -> None:
    sync_redis().delete(store.snapshot_key(metric, asset))


class TestSwitches:
    """Language and colours, remembered in cookies."""

    def test_polish_on_pages(self) -> None:
        client = Client()
        answer = client.post("/language/", {"language": "pl", "next": "/pricing/"})
        assert (answer.status_code, answer["Location"]) == (302, "/pricing/")
        page = client.get("/pricing/")
        assert page["Content-Language"] == "pl"
        assert '<html lang="pl"' in page.content.decode()
        assert "Cennik" in page.content.decode()

    def test_the_browser_language_is_followed(self) -> None:
        page = Client().get("/", headers={"Accept-Language": "pl-PL,pl;q=0.9"})
        assert "Nie dane. Interpretacja." in page.content.decode()

    def test_machines_get_english_without_language_headers(self) -> None:
        client = Client()
        client.post("/language/", {"language": "pl"})
        answer = client.get("/v1/meta/plans")
        assert "Content-Language" not in answer
        assert "Accept-Language" not in answer.get("Vary", "")

    @pytest.mark.parametrize("theme", ["dark", "light"])
    def test_colours_are_remembered(self, theme: str) -> None:
        client = Client()
        assert client.post("/theme/", {"theme": theme, "next": "/"})["Location"] == "/"
        assert f'data-theme="{theme}"' in client.get("/").content.decode()
        client.post("/theme/", {"theme": ""})
        assert "data-theme" not in client.get("/").content.decode()

    def test_a_made_up_theme_is_the_system_s(self) -> None:
        client = Client()
        client.cookies["theme"] = '"><script>'
        assert "data-theme" not in client.get("/").content.decode()

    @pytest.mark.parametrize("path", ["/theme/", "/language/"])
    def test_they_lead_nowhere_else(self, path: str) -> None:
        answer = Client().post(path, {"theme": "dark", "language": "pl", "next": "//evil.example"})
        assert "evil" not in answer["Location"]

    def test_they_need_the_csrf_token(self) -> None:
        assert (
            Client(enforce_csrf_checks=True).post("/theme/", {"theme": "dark"}).status_code == 403
        )
