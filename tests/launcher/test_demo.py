"""What the start remembers and shows: state, demo accounts, progress."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from focsal.launcher import demo, readiness, state, watch
from focsal.launcher.control import ProcessInfo
from focsal.launcher.errors import LauncherError

ACCOUNTS: dict[str, Any] = {
    "keys": {"pro": "fk_test_pro", "enterprise": "fk_test_ent"},
    "login": {"email": "demo@focsal.test", "password": "pw"},
}


def test_demo_json_has_exactly_the_promised_shape() -> None:
    document = demo.document("http://127.0.0.1:8000", "sandbox", ACCOUNTS)
    assert document == {
        "base_url": "http://127.0.0.1:8000",
        "ws_url": "ws://127.0.0.1:8000/v1/ws",
        "market": "sandbox",
        "keys": {"pro": "fk_test_pro", "enterprise": "fk_test_ent"},
        "login": {"email": "demo@focsal.test", "password": "pw"},
    }
    staff = {"email": "staff@focsal.test", "password": "pw"}
    with_staff = demo.document("http://x", "replay", {**ACCOUNTS, "staff": staff})
    assert with_staff["staff"] == staff


def test_the_seed_speaks_on_its_last_line() -> None:
    assert demo.seeded(f"Plans: 4\n{json.dumps(ACCOUNTS)}\n", {}) == ACCOUNTS


def test_keys_the_seed_does_not_show_again_are_remembered() -> None:
    again = json.dumps({"keys": {"pro": None, "enterprise": None}, "login": {"email": "new@x"}})
    accounts = demo.seeded(again, ACCOUNTS)
    assert accounts["keys"] == ACCOUNTS["keys"]
    assert accounts["login"] == {"email": "new@x", "password": "pw"}


@pytest.mark.parametrize("output", ["", "done\n", "[1]", '{"keys": {"pro": "a"}}'])
def test_a_seed_without_keys_stops_the_start(output: str) -> None:
    with pytest.raises(LauncherError, match="seed --demo"):
        demo.seeded(output, {})


def test_the_curl_line_asks_for_funding_with_the_key() -> None:
    assert demo.curl_line("http://127.0.0.1:8000", "fk_test_pro") == (
        'curl -H "X-API-Key: fk_test_pro" '
        '"http://127.0.0.1:8000/v1/markets/funding?asset=BTC&aggregate=true"'
    )


def test_state_is_private_and_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    fresh, is_new = state.load(file)
    assert is_new
    fresh.ports["redis"] = 20_000
    state.save(file, fresh)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert state.load(file) == (fresh, False)
    assert len(fresh.secret_key) >= 50


def test_damaged_state_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    file.write_text("{")
    with pytest.raises(LauncherError, match="damaged"):
        state.load(file)


def test_progress_is_read_from_health() -> None:
    answer = {
        "checks": {"db": "ok", "ingest": {"status": "starting"}},
        "backfill": {"done": 3, "total": 12, "phase": "bars"},
    }
    health = readiness.read(503, json.dumps(answer).encode())
    assert health == readiness.Health(503, 3, 12, "bars", ("ingest",))
    assert readiness.describe(health) == "backfill bars 25% (3/12); waiting for ingest"
    assert readiness.read(200, b"ok").is_ready
    assert readiness.describe(readiness.Health(0)) == "waiting for the web process"


def test_venues_that_just_began_to_deliver_are_seen() -> None:
    def venues(state: str) -> readiness.Health:
        return readiness.read(503, json.dumps({"checks": {"venues": state}}).encode())

    assert not readiness.Health(0).has_venues
    assert not venues("waiting: No venue delivers yet.").has_venues
    assert venues("settling: Venues deliver.").has_venues
    assert venues("settling").failing == ("venues",)
    assert venues("ok").has_venues
    assert venues("ok").failing == ()


def _info(name: str, state: str, pid: int, started: int) -> dict[str, ProcessInfo]:
    return {name: ProcessInfo(name, state, pid, started, "")}


def test_a_process_started_too_often_does_not_stay_up() -> None:
    seen = watch.Watch()
    for start in range(1, watch.MAX_STARTS + 1):
        assert seen.flapping(_info("web", "BACKOFF", 0, start)) is None
    assert seen.flapping(_info("web", "STARTING", 7, watch.MAX_STARTS + 1)) == "web"
    assert watch.Watch().flapping(_info("web", "FATAL", 0, 1)) == "web"


def test_a_restart_is_told_once() -> None:
    seen = watch.Watch()
    assert seen.changes(_info("web", "RUNNING", 10, 1)) == []
    assert seen.changes(_info("web", "BACKOFF", 0, 1)) == []
    assert seen.changes(_info("web", "RUNNING", 11, 2)) == [
        "FOCSAL: web died and was restarted (pid 11)"
    ]
    assert seen.changes(_info("web", "RUNNING", 11, 2)) == []


def test_a_process_given_up_is_tried_again_after_a_pause() -> None:
    seen = watch.Watch()
    given_up = _info("web", "FATAL", 0, 1)
    assert seen.due_again(given_up, 100.0) == []
    assert seen.due_again(given_up, 100.0 + watch.RETRY_PAUSE_S - 1) == []
    assert seen.due_again(given_up, 100.0 + watch.RETRY_PAUSE_S) == ["web"]
    assert seen.due_again(given_up, 100.0 + watch.RETRY_PAUSE_S + 1) == []
