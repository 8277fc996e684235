"""The samples of sockets, run as a reader would run them while events come in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import orjson
import pytest
from django.test import Client

from apps.core.redis import sync_redis
from apps.dashboard.streams import channels_shown, frames_shown, socket_url, stream_samples
from apps.feed.registry import all_specs, resolve
from apps.feed.writer import BlockingFeedWriter
from tests.docs.conftest import Web
from tests.docs.test_samples import _Samples

pytestmark = pytest.mark.django_db(databases=["default", "market"])
PATIENCE_S = 30.0


@contextmanager
def running(command: list[str], key: str) -> Iterator[Queue[str]]:
    """A program's lines as it prints them; it is ended at the end."""
    lines: Queue[str] = Queue()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "FOCSAL_KEY": key, "NO_PROXY": "*"},
    )  # fmt: skip

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line.strip())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield lines
    finally:
        process.kill()
        process.wait()
        reader.join()


def next_line(lines: Queue[str]) -> str:
    while True:
        try:
            line = lines.get(timeout=PATIENCE_S)
        except Empty:
            pytest.fail("expected the program to print something, it did not")
        if line:
            return line


def publish(number: int) -> int:
    event = {
        "asset": "BTC", "side": "long", "amount_usd": 5_240_000.0, "price": 67_120.0,
        "exchange": "binance", "id": str(number),
    }  # fmt: skip
    return BlockingFeedWriter(sync_redis()).append(
        "liquidations.BTC", orjson.dumps(event), 1_779_048_873_000 + number
    )


def written(code: str, folder: Path) -> list[str]:
    file = folder / "sample.py"
    file.write_text(code)
    return [sys.executable, "-u", str(file)]


def read_stream(lines: Queue[str]) -> None:
    """Subscribed, snapshot, then what happens."""
    acknowledged = orjson.loads(next_line(lines))
    while acknowledged["op"] == "warning":
        acknowledged = orjson.loads(next_line(lines))
    assert (acknowledged["op"], acknowledged["channel"]) == ("subscribed", "liquidations.BTC")
    snapshot = orjson.loads(next_line(lines))
    assert (snapshot["type"], snapshot["seq"]) == ("snapshot", acknowledged["seq"])
    seq = publish(1)
    update = orjson.loads(next_line(lines))
    assert (update["type"], update["seq"], update["prev_seq"]) == (
        "update", seq, acknowledged["seq"],
    )  # fmt: skip
    assert update["ts"] == "2026-05-17T20:14:33.001Z"
    assert update["data"]["side"] == "long"
    assert update["data"]["amount_usd"] == 5_240_000.0


def test_the_pages_python_prints_the_stream(web: Web, tmp_path: Path) -> None:
    code = _Samples(web.page("/docs/websocket/")).found["stream-python"]
    with running(written(code, tmp_path), web.key) as lines:
        read_stream(lines)


def test_the_landing_pages_sample_needs_a_key_alone(web: Web, tmp_path: Path) -> None:
    code = _Samples(web.page("/")).found["stream-python"]
    code = code.replace("fk_test_…", web.key)
    assert web.key in code
    with running(written(code, tmp_path), web.key) as lines:
        read_stream(lines)


def test_the_sample_that_resumes_goes_on_where_it_was(web: Web, tmp_path: Path) -> None:
    code = _Samples(web.page("/docs/websocket/")).found["stream-resume"]
    assert code.count("ws.recv") == 0
    # The connection is cut by the program itself, so that what comes meanwhile has to be resumed.
    cut = 'print(frame["type"], frame["seq"], frame["data"])\n'
    assert cut in code
    code = code.replace(
        cut, cut + 20 * " " + 'await ws.close() if frame["type"] == "snapshot" else None\n'
    )
    with running(written(code, tmp_path), web.key) as lines:
        kind, seq, _ = next_line(lines).split(" ", 2)
        assert kind == "snapshot"
        seqs = [publish(number) for number in (11, 12, 13)]
        printed = [next_line(lines).split(" ", 2) for _ in seqs]
    assert [(one[0], int(one[1])) for one in printed] == [("update", one) for one in seqs]
    assert seqs == [int(seq) + 1, int(seq) + 2, int(seq) + 3]


def test_curl_prints_server_sent_events(web: Web, tmp_path: Path) -> None:
    code = _Samples(web.page("/docs/websocket/")).found["stream-sse"]
    file = tmp_path / "sample.sh"
    file.write_text(code.replace("curl -N", "exec curl -s -N"))
    assert shutil.which("curl")
    with running(["/bin/sh", str(file)], web.key) as lines:
        found: list[Any] = []
        while len(found) < 2:
            line = next_line(lines)
            if line.startswith("data: "):
                found.append(orjson.loads(line.removeprefix("data: ")))
        assert found[0]["op"] == "subscribed"
        assert found[1]["type"] == "snapshot"
        seq = publish(21)
        line = next_line(lines)
        while not line.startswith("data: "):
            line = next_line(lines)
        assert orjson.loads(line.removeprefix("data: "))["seq"] == seq


def test_every_channel_stands_on_the_page(client: Client) -> None:
    page = client.get("/docs/websocket/").content.decode()
    examples = _AllExamples(page).found
    for spec in all_specs():
        slug = spec.name.replace(".", "-")
        assert spec.pattern in page
        shown = orjson.loads(examples[slug])
        assert resolve(shown["channel"]) is not None
        assert shown["data"] == orjson.loads(orjson.dumps(spec.example))
    said, answered = frames_shown()
    assert [one.op for one in said] == ["auth", "subscribe", "unsubscribe", "ping"]
    for one in (*said, *answered):
        assert orjson.loads(one.example)["op"] == one.op
        assert one.title


class _AllExamples(_Samples):
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(
            tag, [("data-sample", value) for name, value in attrs if name == "data-example"]
        )


def test_the_live_page_has_no_script_of_its_own(client: Client) -> None:
    answer = client.get("/docs/live/")
    page = answer.content.decode()
    assert '<script src="/static/js/live' in page
    assert page.count("<script") == page.count('<script src="/static/js/')
    assert "unsafe-inline" not in answer["Content-Security-Policy"]
    assert "connect-src 'self'" in answer["Content-Security-Policy"]
    for channel in channels_shown():
        assert f'<option value="{channel.name}">' in page


def test_addresses_follow_the_sites_own() -> None:
    assert socket_url("https://api.focsal.com") == "wss://api.focsal.com/v1/ws"
    assert socket_url("http://127.0.0.1:8000") == "ws://127.0.0.1:8000/v1/ws"
    slugs = [one.slug for one in stream_samples("https://api.focsal.com")]
    assert slugs == ["python", "resume", "sse"]
