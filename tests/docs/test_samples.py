"""Every sample of the metric pages is run as a reader would run it, against a running web process.

The programs are taken from the pages that the process serves, and nothing in them is changed: the address
is the process's own, the key comes from the environment.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pytest

from apps.dashboard.guides import GUIDES, MetricGuide
from apps.dashboard.guides.samples import current_samples, history_samples
from tests.docs.conftest import Web

pytestmark = pytest.mark.django_db(databases=["default", "market"])
SUFFIX = {"python": "py", "javascript": "mjs", "curl": "sh"}
NODE_FROM = 18
"""The first version whose ``fetch`` is there without a flag."""


class _Samples(HTMLParser):
    """Programs of a page by their name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._name: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        name = dict(attrs).get("data-sample")
        if name:
            self._name = name
            self.found[name] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "code":
            self._name = None

    def handle_data(self, data: str) -> None:
        if self._name is not None:
            self.found[self._name] += data


def _program(language: str) -> str:
    """What runs a language. A machine without it is told so; on CI it is a failure, never a skip."""
    if language == "python":
        return sys.executable
    name = {"javascript": "node", "curl": "curl"}[language]
    found = shutil.which(name)
    if found is None:
        _missing(f"{name}: expected on PATH to run the pages' samples, found none")
    if language == "javascript":
        version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
        if int(version.stdout.strip().lstrip("v").split(".")[0]) < NODE_FROM:
            _missing(f"node: expected {NODE_FROM} or later, found {version.stdout.strip()}")
    return found if language != "curl" else "/bin/sh"


def _missing(message: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def run(language: str, code: str, key: str, folder: Path) -> str:
    file = folder / f"sample.{SUFFIX[language]}"
    file.write_text(code)
    done = subprocess.run(
        [_program(language), str(file)],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "FOCSAL_KEY": key},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value[name]
    return value


def shown(text: str) -> Any:
    """What a program printed, whatever its language calls it."""
    words = {"None": None, "null": None, "True": True, "true": True, "False": False, "false": False}
    if text in words:
        return words[text]
    try:
        return float(text)
    except ValueError:
        return text


@pytest.fixture(scope="module")
def pages(web: Web) -> Mapping[str, dict[str, str]]:
    return {slug: _Samples(web.page(f"/docs/markets/{slug}/")).found for slug in GUIDES}


@pytest.fixture(scope="module")
def answers(
    web: Web, pages: Mapping[str, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """What cURL prints: the reference of the other two."""
    folder = tmp_path_factory.mktemp("curl")
    return {slug: run("curl", found["now-curl"], web.key, folder) for slug, found in pages.items()}


@pytest.mark.parametrize("guide", GUIDES.values(), ids=list(GUIDES))
def test_curl_answers_the_asset(guide: MetricGuide, answers: dict[str, str]) -> None:
    found = orjson.loads(answers[guide.slug])
    assert (found["asset"], found["meta"]["metric"]) == ("BTC", guide.metric)
    assert at(found, guide.reads) is not None


@pytest.mark.parametrize("language", ["python", "javascript"])
@pytest.mark.parametrize("guide", GUIDES.values(), ids=list(GUIDES))
def test_the_program_prints_the_number_of_the_answer(
    guide: MetricGuide,
    language: str,
    web: Web,
    pages: Mapping[str, dict[str, str]],
    answers: dict[str, str],
    tmp_path: Path,
) -> None:
    printed = run(language, pages[guide.slug][f"now-{language}"], web.key, tmp_path).strip()
    assert shown(printed) == at(orjson.loads(answers[guide.slug]), guide.reads)


@pytest.mark.parametrize("guide", GUIDES.values(), ids=list(GUIDES))
def test_history_is_the_same_in_every_language(
    guide: MetricGuide, web: Web, pages: Mapping[str, dict[str, str]], tmp_path: Path
) -> None:
    found = pages[guide.slug]
    table = run("curl", found["past-curl"], web.key, tmp_path)
    times = {record["ts"] for record in csv.DictReader(io.StringIO(table))}
    assert times
    printed = {
        language: [
            (line.split(" ")[0], shown(line.split(" ", 1)[1]))
            for line in run(language, found[f"past-{language}"], web.key, tmp_path).splitlines()
        ]
        for language in ("python", "javascript")
    }
    assert printed["python"] == printed["javascript"]
    assert {ts for ts, _ in printed["python"]} == times
    assert any(value is not None for _, value in printed["python"])


def test_the_quickstart_runs_as_it_stands(web: Web, tmp_path: Path) -> None:
    found = _Samples(web.page("/docs/quickstart/")).found
    label = orjson.loads(run("curl", found["now-curl"], web.key, tmp_path))["aggregate"][
        "interpretation"
    ]
    for language in ("python", "javascript"):
        assert run(language, found[f"now-{language}"], web.key, tmp_path).strip() == label
    everything = orjson.loads(run("curl", found["all-curl"], web.key, tmp_path))
    assert [one["asset"] for one in everything["data"]] == ["BTC", "ETH"]
    assert len(everything["errors"]) == 63


def test_a_refusal_is_no_silent_success(
    web: Web, pages: Mapping[str, dict[str, str]], tmp_path: Path
) -> None:
    for language in ("python", "javascript"):
        with pytest.raises(AssertionError, match=r"401|invalid_api_key"):
            run(language, pages["funding"][f"now-{language}"], "nonsense", tmp_path)


def test_pages_follow_the_next_cursor(web: Web, tmp_path: Path) -> None:
    """More rows than one page has: five-minute candles of two days, 500 at a time."""
    url = f"{web.address}/v1/markets/ohlcv"
    found = history_samples(
        url, ("aggregate", "close"), "2026-05-16", "2026-05-17T18:00&interval=5m"
    )
    lines = {}
    for one in found[1:]:
        code = one.code.replace("&interval=5m", "").replace('"to":', '"interval": "5m", "to":')
        code = code.replace(", to: ", ', interval: "5m", to: ')
        lines[one.slug] = run(one.slug, code, web.key, tmp_path).split()[::2]
    assert lines["python"] == lines["javascript"] == sorted(set(lines["python"]))
    assert len(lines["python"]) == 42 * 12


def test_names_that_are_no_words_are_quoted() -> None:
    _, python, javascript = current_samples("http://x/v1", ("aggregate", "bars", "1h", "last"))
    assert 'data["aggregate"]["bars"]["1h"]["last"]' in python.code
    assert 'data.aggregate.bars["1h"].last' in javascript.code


def test_a_page_cannot_be_made_without_samples() -> None:
    whole = GUIDES["funding"]
    fields = {name: getattr(whole, name) for name in MetricGuide.__slots__}
    for name in ("reads", "history_reads"):
        with pytest.raises(TypeError, match=name):
            MetricGuide(**{key: value for key, value in fields.items() if key != name})
    for one in (whole, replace(whole, slug="other")):
        assert [sample.slug for sample in one.samples("")] == ["curl", "python", "javascript"]
        assert [sample.slug for sample in one.history("", "a", "b")] == [
            "curl", "python", "javascript",
        ]  # fmt: skip


def test_a_machine_without_node_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="node: expected on PATH"):
        _program("javascript")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="node: expected on PATH"):
        _program("javascript")
