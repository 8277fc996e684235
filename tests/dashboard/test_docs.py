"""Documentation pages: there for everybody, true to the code, clean under the content security policy."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from apps.core.error_guide import ERROR_GUIDE
from apps.dashboard.guides import GUIDES
from apps.markets.contracts import FIELDS
from apps.snapshots.registry import all_specs
from apps.tiers.catalogue import plans_ensure

pytestmark = pytest.mark.django_db(databases=["default", "market"])
PAGES = (
    "/docs/",
    "/docs/quickstart/",
    "/docs/conventions/",
    "/docs/errors/",
    *(f"/docs/markets/{slug}/" for slug in GUIDES),
    *(f"/docs/{name}/" for name in ("keys", "plans", "webhooks", "alerts")),
    "/docs/reference/",
    "/login/",
)


class _Page(HTMLParser):
    """Collects ids, links, assets and whatever the content security policy would block."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.assets: set[str] = set()
        self.inline: list[str] = []
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag == "a" and given.get("href"):
            self.links.add(str(given["href"]))
        if tag in ("script", "img") and given.get("src"):
            self.assets.add(str(given["src"]))
        if tag == "link" and given.get("href"):
            self.assets.add(str(given["href"]))
        if tag == "style" or "style" in given or any(name.startswith("on") for name in given):
            self.inline.append(tag)
        if tag == "script" and "src" not in given:
            self.inline.append(tag)


def page(path: str) -> _Page:
    response = Client().get(path)
    assert response.status_code == 200
    return _Page(response.content.decode())


@pytest.mark.parametrize("path", PAGES)
def test_a_page_answers_and_has_nothing_inline(path: str) -> None:
    found = page(path)
    assert found.inline == []
    assert len(found.ids) == len(set(found.ids))
    assert "content" in found.ids


@pytest.mark.parametrize("path", PAGES)
def test_its_files_are_there_and_of_this_origin(path: str) -> None:
    for asset in page(path).assets:
        assert asset.startswith("/static/")
        assert finders.find(asset.removeprefix("/static/")), asset


def test_every_internal_link_leads_somewhere() -> None:
    for path in PAGES:
        for link in page(path).links:
            target, _, anchor = link.partition("#")
            if target.startswith("/v1/") or target.startswith("/admin"):
                continue
            status = Client().get(target or path).status_code
            assert status in (200, 302), link
            if anchor:
                assert anchor in page(target or path).ids


def test_every_error_code_has_its_anchor() -> None:
    assert {entry.code for entry in ERROR_GUIDE} <= set(page("/docs/errors/").ids)


def test_metric_pages_have_formula_unit_example_and_every_field() -> None:
    samples = {
        f"{kind}-{slug}" for kind in ("now", "past") for slug in ("curl", "python", "javascript")
    }
    for slug, guide in GUIDES.items():
        text = Client().get(f"/docs/markets/{slug}/").content.decode()
        assert {"unit", "formula", "example", "history", "fields"} | samples <= set(_Page(text).ids)
        for field in FIELDS:
            if field.metric == guide.metric:
                assert field.name in text.replace("<wbr>", "")
    funding = Client().get("/docs/markets/funding/").content.decode()
    assert "percent per 8 hours" in funding
    assert "OIᵥ" in funding


def test_every_metric_of_layer_1_has_a_page_of_its_address() -> None:
    layer = {(spec.metric, spec.path) for spec in all_specs() if spec.layer == "L1"}
    assert {(guide.metric, guide.path) for guide in GUIDES.values()} == layer
    for slug, guide in GUIDES.items():
        assert guide.path == f"/v1/markets/{slug}"


def test_an_unknown_metric_is_404() -> None:
    response = Client().get("/docs/markets/tulips/")
    assert response.status_code == 404
    assert "Nothing is here" in response.content.decode()


def test_the_front_page_shows_plans_as_they_are_stored() -> None:
    plans_ensure()
    text = Client().get("/docs/").content.decode()
    assert re.search(r"<td>Pro</td><td>100</td><td>L1</td><td class=\"number\">25,000</td>", text)
    assert b"Not data. Interpretation." in Client().get("/").content


@pytest.mark.parametrize("path", PAGES)
def test_the_policy_is_strict(path: str) -> None:
    policy = Client().get(path)["Content-Security-Policy"]
    rules = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self'"
    expected = "'self' 'unsafe-inline'" if path == "/docs/reference/" else "'self'"
    assert rules["style-src"] == expected


def test_the_samples_of_the_quickstart_are_those_of_the_landing_page() -> None:
    text = Client().get("/docs/quickstart/").content.decode()
    assert "params={&quot;asset&quot;" not in text
    assert 'params={"asset": "BTC", "aggregate": True}' in text
    assert "data.aggregate.interpretation" in text
    assert "/v1/markets/funding?asset=BTC&amp;aggregate=true" in text
