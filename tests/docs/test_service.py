"""Pages about webhooks, alerts and keys: their programs are run, their examples are what is truly sent."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import jsonschema
import orjson
import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from apps.accounts.models import User
from apps.alerts.delivery import deliver_due
from apps.alerts.engine import CONDITION_SCHEMA, condition_of
from apps.alerts.events import event_test, redeliver
from apps.alerts.models import Delivery
from apps.alerts.registry import all_types
from apps.alerts.schema_examples import COMPARISON, GROUP
from apps.alerts.signing import new_secret, signed_headers
from apps.alerts.webhooks import secret_rotate, webhook_create
from apps.dashboard.guides.service import formats_shown
from apps.dashboard.guides.service_samples import EVENT
from tests.customers import make_customer
from tests.docs.conftest import Web
from tests.docs.test_samples import SUFFIX, _program, _Samples, run
from tests.docs.test_streams import PATIENCE_S, next_line, running
from tests.serving import wait_until_it_listens

pytestmark = pytest.mark.django_db(databases=["default", "market"])
CSRF: Final = "c" * 32


class _Marked(_Samples):
    """What a page shows under ``data-<kind>``."""

    def __init__(self, text: str, kind: str) -> None:
        self._kind = f"data-{kind}"
        super().__init__(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = [("data-sample", value) for name, value in attrs if name == self._kind]
        super().handle_starttag(tag, found)


@pytest.fixture
def page(client: Client) -> Any:
    return lambda name: client.get(f"/docs/{name}/").content.decode()


# --- webhooks --------------------------------------------------------------------------------------------


def test_the_pages_curl_adds_a_webhook_and_again_does_not(web: Web, tmp_path: Path) -> None:
    code = _Samples(web.page("/docs/webhooks/")).found["add-curl"]
    first = orjson.loads(run("curl", code, web.key, tmp_path))
    assert first["secret"].startswith("whsec_")
    assert (first["events"], first["assets"]) == ([EVENT], ["BTC"])
    assert orjson.loads(run("curl", code, web.key, tmp_path)) == first


@contextmanager
def receiving(
    language: str, code: str, secret: str, folder: Path
) -> Iterator[tuple[str, Queue[str]]]:
    """A receiver of the page on a free port; its address and what it prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    file = folder / f"receiver.{SUFFIX[language]}"
    file.write_text(code)
    os.environ.update(FOCSAL_WEBHOOK_SECRET=secret, PORT=str(port))
    try:
        with running([_program(language), str(file)], "") as lines:
            wait_until_it_listens(port)
            yield f"http://127.0.0.1:{port}/focsal", lines
    finally:
        del os.environ["FOCSAL_WEBHOOK_SECRET"], os.environ["PORT"]


def _told(lines: Queue[str]) -> str:
    """The next line that is not the server's own log."""
    line = next_line(lines)
    while '"POST ' in line:
        line = next_line(lines)
    return line


def _post(url: str, body: bytes, headers: dict[str, str]) -> int:
    try:
        with urlopen(Request(url, body, headers, method="POST"), timeout=PATIENCE_S) as answer:
            return int(answer.status)
    except HTTPError as refused:
        return refused.code


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_receivers_take_what_is_signed_once_and_nothing_else(
    client: Client, settings: Any, tmp_path: Path, language: str
) -> None:
    settings.WEBHOOKS_ALLOW_LOOPBACK = True
    code = _Samples(client.get("/docs/webhooks/").content.decode()).found[f"receive-{language}"]
    account = make_customer("pro", "receiver").account
    created = webhook_create(account, {"url": "https://example.com/focsal"})
    with receiving(language, code, created.secret, tmp_path) as (url, lines):
        from apps.alerts.webhooks import webhook_update

        hook = webhook_update(created.webhook, {"url": url})
        first = event_test(hook, EVENT)
        deliver_due(timezone.now())
        assert _told(lines) == f"{EVENT} {first.event.event_id}"
        redeliver(first)
        deliver_due(timezone.now())
        # While the secret is rotated the receiver's old one is good as well.
        secret_rotate(hook)
        second = event_test(hook, "key.revoked")
        deliver_due(timezone.now())
        assert _told(lines) == f"key.revoked {second.event.event_id}"
        assert set(Delivery.objects.values_list("status", flat=True)) == {"delivered"}
        body = orjson.dumps({"type": "forged", "event_id": "evt_2", "data": {}})
        now = int(time.time())
        good = signed_headers([created.secret], "evt_2", now, body)
        other = signed_headers([new_secret()], "evt_2", now, body)
        stale = signed_headers([created.secret], "evt_2", now - 600, body)
        for headers, sent in ((other, body), (stale, body), (good, body + b" ")):
            assert _post(url, sent, headers) == 400
        assert _post(url, body, good) == 204
        assert _told(lines) == "forged evt_2"


def test_the_check_that_is_written_out(page: Any) -> None:
    names: dict[str, Any] = {}
    exec(_Samples(page("webhooks")).found["check-python"], names)
    is_signed = names["is_signed"]
    secret, other, now = new_secret(), new_secret(), int(time.time())
    for secrets in ([secret], [other, secret]):
        assert is_signed(secret, signed_headers(secrets, "evt_1", now, b"{}"), b"{}")
    assert not is_signed(secret, signed_headers([other], "evt_1", now, b"{}"), b"{}")
    assert not is_signed(secret, signed_headers([secret], "evt_1", now, b"{}"), b"[]")
    assert not is_signed(secret, signed_headers([secret], "evt_1", now - 301, b"{}"), b"{}")


def test_the_npm_program_calls_the_library_as_it_is_documented(page: Any, tmp_path: Path) -> None:
    """npm is none of this project's tools: a stand-in has the library's interface."""
    package = tmp_path / "node_modules" / "standardwebhooks"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"name": "standardwebhooks", "main": "index.js"}')
    (package / "index.js").write_text(
        "exports.Webhook = class { constructor(secret) { this.secret = secret; }\n"
        "  verify(body, headers) { return [this.secret, body, headers['webhook-id']]; } };\n"
    )
    code = _Samples(page("webhooks")).found["check-npm"]
    call = 'console.log(JSON.stringify(eventOf("{}", {"webhook-id": "evt_1"})));\n'
    os.environ["FOCSAL_WEBHOOK_SECRET"] = "whsec_eA=="  # one letter
    try:
        printed = run("javascript", code + call, "", tmp_path)
    finally:
        del os.environ["FOCSAL_WEBHOOK_SECRET"]
    assert orjson.loads(printed) == ["whsec_eA==", "{}", "evt_1"]


def test_every_event_type_stands_on_the_page_as_it_is_sent(page: Any) -> None:
    text = page("webhooks")
    events, schemas = _Marked(text, "event").found, _Marked(text, "schema").found
    assert set(events) == set(schemas) == {one.name for one in all_types()}
    for one in all_types():
        shown = orjson.loads(events[one.name])
        assert shown["type"] == one.name
        jsonschema.validate(shown["data"], orjson.loads(schemas[one.name]))
    bodies = _Marked(text, "format").found
    assert bodies == {one.name.lower(): one.body for one in formats_shown()}
    assert orjson.loads(bodies["telegram"])["chat_id"] == "-1001234567890"


# --- alerts and keys -------------------------------------------------------------------------------------


def test_the_pages_curl_adds_an_alert(web: Web, tmp_path: Path) -> None:
    code = _Samples(web.page("/docs/alerts/")).found["add-curl"]
    made = orjson.loads(run("curl", code, web.key, tmp_path))
    assert (made["condition"], made["is_enabled"]) == (COMPARISON, True)


def test_the_backtest_programs_print_what_the_service_says(web: Web, tmp_path: Path) -> None:
    found = _Samples(web.page("/docs/alerts/")).found
    printed = {one: run(one, found[f"backtest-{one}"], web.key, tmp_path)
               for one in ("python", "javascript")}  # fmt: skip
    assert printed["python"] == printed["javascript"]
    fires, moments = (int(one) for one in printed["python"].split())
    assert 0 < fires < moments <= 90


def test_conditions_of_the_page_are_read(page: Any) -> None:
    text = page("alerts")
    shown = [orjson.loads(one) for one in _Marked(text, "condition").found.values()]
    assert shown == [COMPARISON, GROUP]
    for one in shown:
        condition_of(one)
        jsonschema.validate(one, CONDITION_SCHEMA)
    assert orjson.loads(_Marked(text, "schema").found["condition"]) == CONDITION_SCHEMA


@pytest.fixture(scope="module")
def session(web: Web, django_db_blocker: DjangoDbBlocker) -> str:
    """A signed-in customer's session, for the other process to see."""
    with django_db_blocker.unblock():
        client = Client()
        client.force_login(User.objects.get(account__name="Eve"))
        return str(client.cookies["sessionid"].value)


def test_the_pages_curl_makes_a_key(web: Web, session: str, tmp_path: Path) -> None:
    assert shutil.which("curl")
    code = _Samples(web.page("/docs/keys/")).found["key-curl"]
    os.environ.update(FOCSAL_SESSION=session, FOCSAL_CSRF=CSRF)
    try:
        made = orjson.loads(run("curl", code, "", tmp_path))
    finally:
        del os.environ["FOCSAL_SESSION"], os.environ["FOCSAL_CSRF"]
    assert made["key"].startswith(made["prefix"])
    assert (made["layers"], made["allowed_ips"]) == (["L1"], ["203.0.113.0/24"])


@pytest.mark.parametrize("name", ["keys", "plans", "webhooks", "alerts"])
def test_pages_are_there_in_polish(client: Client, name: str) -> None:
    english = client.get(f"/docs/{name}/").content.decode()
    polish = client.get(f"/docs/{name}/", headers={"Accept-Language": "pl"}).content.decode()
    titles = {text.partition("<h1>")[2].partition("</h1>")[0] for text in (english, polish)}
    assert len(titles) == 2
    assert polish.count("<h2") == english.count("<h2")
