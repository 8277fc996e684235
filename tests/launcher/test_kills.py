"""kill -9 of worker, beat and web under load, as ``make run`` runs them: each is restarted and goes on.

Ingest's own kills are in ``tests/ingest/test_kill.py``; ``make soak`` kills everything on all 65 assets.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import aiohttp
import psutil
import pytest

from tests.soak.kills import (
    _PLAN,
    Load,
    _client,
    _drained,
    _environment_of,
    _find,
    _manage,
    _platform,
)

pytestmark = pytest.mark.quiet
WORDS = {"worker": "celery -A focsal worker", "beat": "celery -A focsal beat", "web": "focsal.web"}
CLIENTS = 3
BACK_S = 120.0
"""Only what hangs needs so long."""
NOBODY = 0


@dataclass
class Course:
    """What was seen from a kill until everything went on: readiness' statuses (0: nobody listens)."""

    statuses: list[int] = field(default_factory=list)
    seconds: float = 0.0
    answered: int = 0


def test_every_process_is_restarted_and_nothing_is_lost_or_doubled() -> None:
    with _platform(FOCSAL_SANDBOX_ASSETS="BTC,ETH") as (folder, process, base_url):
        environment = _environment_of(process)
        _manage(folder, environment, "shell", "-v0", "-c", _PLAN)
        key = _manage(
            folder, environment, "create_key", "--email", "load@focsal.test", "--name", "load"
        ).split()[-1]
        load, courses = asyncio.run(attack(base_url, key, process))
        rows = _drained(folder, environment)
    # While web is away nobody answers, or it says that it is not ready; the others are not missed.
    assert NOBODY in courses["web"].statuses
    assert set(courses["web"].statuses) <= {NOBODY, 200, 503}
    for name in ("worker", "beat"):
        assert set(courses[name].statuses) == {200}, name
    assert all(course.answered >= 50 for course in courses.values())
    counts = {row[0]: row[1] for row in rows}
    assert load.answered
    assert load.answered - set(counts) == set()
    assert set(counts.values()) == {1}
    assert set(load.statuses) <= {503}


async def attack(
    base_url: str, key: str, process: psutil.Process
) -> tuple[Load, dict[str, Course]]:
    load, courses = Load(), {}
    timeout = aiohttp.ClientTimeout(total=10)
    headers = {"X-API-Key": key}
    async with aiohttp.ClientSession(base_url, headers=headers, timeout=timeout) as session:
        clients = [
            asyncio.create_task(_client(session, number, load, float("inf")))
            for number in range(CLIENTS)
        ]
        try:
            for name, words in WORDS.items():
                courses[name] = await kill(session, process, words, load)
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
    return load, courses


async def kill(
    session: aiohttp.ClientSession, process: psutil.Process, words: str, load: Load
) -> Course:
    """Kill, and follow it until another process is there, all is ready and a newer answer is served."""
    course, before = Course(), await snapshot_ts(session)
    victims = await asyncio.to_thread(_find, process, words)
    assert victims, words
    for victim in victims:
        victim.kill()
    begin, answered = time.monotonic(), len(load.answered)
    while True:
        course.statuses.append(await readiness(session))
        course.answered = len(load.answered) - answered
        found = await asyncio.to_thread(_find, process, words)
        is_new = bool(found) and not {one.pid for one in found} & {one.pid for one in victims}
        if is_new and course.statuses[-1] == 200 and course.answered >= 50:
            now = await snapshot_ts(session)
            if now > before:
                break
        assert time.monotonic() - begin < BACK_S, (words, found, course)
        await asyncio.sleep(0.1)
    course.seconds = time.monotonic() - begin
    return course


async def readiness(session: aiohttp.ClientSession) -> int:
    try:
        async with session.get("/health/ready") as answer:
            return answer.status
    except (aiohttp.ClientError, TimeoutError):
        return NOBODY


async def snapshot_ts(session: aiohttp.ClientSession) -> str:
    async with session.get("/v1/markets/funding?asset=BTC") as answer:
        assert answer.status == 200, await answer.text()
        return str((await answer.json())["meta"]["snapshot_ts"])
