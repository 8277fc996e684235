"""``manage.py sandbox`` as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from apps.sandbox.faces.registry import PORTS, VENUES
from tests.sandbox.conftest import free_ports

_READY_S = 15.0
_MANAGE = Path(__file__).resolve().parents[2] / "manage.py"


def command(*extra: str, **environment: str) -> tuple[list[str], dict[str, str]]:
    return (
        [sys.executable, str(_MANAGE), "sandbox", *extra],
        {**os.environ, "FOCSAL_ENV": "test", "FOCSAL_MARKET": "sandbox", **environment},
    )


def test_it_prints_the_venues_addresses() -> None:
    words, environment = command("--print-urls", FOCSAL_SANDBOX_PORT="19000")
    out = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
    printed = json.loads(out)
    assert list(printed) == list(VENUES)
    assert printed["binance"] == {
        "rest": "http://127.0.0.1:19001",
        "ws": "ws://127.0.0.1:19001",
        "spot": {"rest": "http://127.0.0.1:19002", "ws": "ws://127.0.0.1:19002"},
    }


def test_an_unknown_recording_is_named() -> None:
    words, environment = command(FOCSAL_MARKET="replay", FOCSAL_REPLAY="nothing-like-it")
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "nothing-like-it" in done.stderr
    assert "Traceback" not in done.stderr


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


def _wait_for(url: str) -> float:
    """Seconds until the URL answers."""
    begin = time.monotonic()
    while time.monotonic() - begin < _READY_S:
        try:
            _get(url)
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.02)
        else:
            return time.monotonic() - begin
    raise AssertionError(f"no answer from {url} in {_READY_S} s")


def test_it_starts_quickly_and_stops_on_sigterm() -> None:
    port = free_ports(PORTS)
    words, environment = command(FOCSAL_SANDBOX_PORT=str(port))
    process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health")
        info = _get(f"http://127.0.0.1:{port + 1}/fapi/v1/exchangeInfo")
        perpetuals = [one for one in info["symbols"] if one["contractType"] == "PERPETUAL"]
        assert len([one for one in perpetuals if one["quoteAsset"] == "USDT"]) == 65
        instruments = _get(f"http://127.0.0.1:{port}/manifest")["instruments"]
        listed = Counter(one["venue"] for one in instruments if one["kind"] != "future")
        dated = Counter(one["venue"] for one in instruments if one["kind"] == "future")
        assert set(dated) == {"binance", "bybit", "okx", "deribit"}
        assert set(listed) == set(VENUES)
        assert listed["binance"] == 130
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, errors
    events = [json.loads(line)["event"] for line in errors.splitlines() if line.startswith("{")]
    assert events == ["sandbox.started", "sandbox.stopped"]
