from __future__ import annotations

import io
import json
import logging
import logging.config
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from django.conf import settings

from apps.core.logs import MASK, get_logger, logging_config, redact

KEY = "fk_live_" + "A1b2C3d4" * 4


@pytest.mark.parametrize(
    ("text", "gone", "kept"),
    [
        (f"key {KEY} used", "A1b2C3d4", "fk_live_[redacted]"),
        ("fk_test_0000shorter", "0000shorter", "fk_test_"),
        ("GET /v1/ws?api_key=abc123&x=1", "abc123", "x=1"),
        ("?TICKET=tttt&ok=2", "tttt", "ok=2"),
        ("Authorization: Bearer abc.def", "abc.def", "Bearer"),
        ("redis://user:hunter2@host:6379/0", "hunter2", "@host:6379"),
        ("postgres://focsal:p%40ss@db/x", "p%40ss", "postgres://focsal:"),
    ],
)
def test_secrets_are_masked(text: str, gone: str, kept: str) -> None:
    assert gone not in redact(text)
    assert kept in redact(text)


def test_harmless_text_stays() -> None:
    text = "BTC funding 0.01 at https://example.com:8443/a?asset=BTC"
    assert redact(text) == text


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Our formatter on a handler of the test's own."""
    stream = io.StringIO()
    formatter = logging_config("INFO")["formatters"]["json"].copy()
    factory = formatter.pop("()")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(factory(**formatter))
    root = logging.getLogger()
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)


def _last(stream: io.StringIO) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(stream.getvalue().splitlines()[-1])
    return parsed


def test_every_line_is_json_with_time_level_and_logger(lines: io.StringIO) -> None:
    get_logger("apps.test").warning("something_happened", asset="BTC", count=3)
    line = _last(lines)
    assert line["event"] == "something_happened"
    assert (line["asset"], line["count"]) == ("BTC", 3)
    assert (line["level"], line["logger"]) == ("warning", "apps.test")
    assert line["timestamp"].endswith("Z")


def test_foreign_loggers_go_through_the_same_formatter(lines: io.StringIO) -> None:
    logging.getLogger("some.library").error("could not use %s", KEY)
    line = _last(lines)
    assert line["event"] == "could not use fk_live_[redacted]"
    assert line["logger"] == "some.library"


def test_the_request_id_is_on_each_line(lines: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="req_x"):
        get_logger("apps.test").warning("inside")
    assert _last(lines)["request_id"] == "req_x"


def test_secret_fields_and_nested_values_are_masked(lines: io.StringIO) -> None:
    get_logger("apps.test").warning(
        "call",
        api_key=KEY,
        headers={"Authorization": "Bearer x", "X-API-Key": KEY, "Accept": "a"},
        urls=[f"?api_key={KEY}", b"redis://:pw@h"],
    )
    text = lines.getvalue()
    assert "A1b2C3d4" not in text
    assert "pw@" not in text
    assert _last(lines)["headers"] == {
        "Authorization": "[redacted]",
        "X-API-Key": "[redacted]",
        "Accept": "a",
    }


def test_tracebacks_are_masked_too(lines: io.StringIO) -> None:
    try:
        raise RuntimeError(f"bad key {KEY}")
    except RuntimeError:
        get_logger("apps.test").exception("failed")
    assert "A1b2C3d4" not in lines.getvalue()
    assert "RuntimeError" in _last(lines)["exception"]


def test_the_access_log_of_the_server_is_off() -> None:
    """It would print keys of query strings."""
    config = settings.LOGGING["loggers"]["uvicorn.access"]
    assert config == {"handlers": [], "propagate": False}


@pytest.mark.parametrize("path", ["/account/reveal/", "/password/reset/key/"])
def test_the_secret_of_a_link_is_masked(path: str) -> None:
    text = redact(f"Not Found: {path}s3cret-Link_of-1/ and https://example.com{path}1x-other?a=1")
    assert text == f"Not Found: {path}{MASK}/ and https://example.com{path}{MASK}?a=1"
