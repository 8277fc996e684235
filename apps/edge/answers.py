"""Answers of the edge, as bytes and header lists ready for the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from apps.core.errors import FocsalError
from apps.core.problems import problem_bytes, problem_headers
from apps.edge.asgi_types import Send
from apps.edge.bodies import Header
from apps.tiers.admission import Admission
from apps.tiers.headers import rate_headers

# Places of the limiter's raw answer (apps/tiers/lua/admit.lua).
RAW_OUTCOME: Final = 0
RAW_USAGE_ID: Final = 13
RAW_TS_US: Final = 14
RAW_VERSION: Final = 15
RAW_SNAPSHOT_TS: Final = 16
RAW_CADENCE: Final = 17


@dataclass(slots=True)
class Reply:
    """One answer; ``usage_id`` and ``ts_us`` join it to its admission, empty when none was recorded."""

    status: int
    headers: list[Header]
    body: bytes
    usage_id: str = ""
    ts_us: int = 0


def raw_rate_headers(raw: Sequence[bytes], request_id: str) -> list[Header]:
    """``rate_headers`` of an admitted key, out of the limiter's raw answer."""
    return [
        (b"x-ratelimit-limit", raw[6]),
        (b"x-ratelimit-remaining", raw[7]),
        (b"x-ratelimit-reset", raw[8]),
        (b"x-quota-day-remaining", raw[9]),
        (b"x-quota-month-remaining", raw[10]),
        (b"x-request-id", request_id.encode()),
    ]


def admission_headers(admission: Admission, status: int, request_id: str) -> list[Header]:
    headers = lowered(rate_headers(admission.settled(status)))
    headers.append((b"x-request-id", request_id.encode()))
    return headers


def lowered(pairs: Sequence[tuple[str, str]]) -> list[Header]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs]


def problem_reply(
    error: FocsalError,
    request_id: str,
    static: Sequence[Header],
    admission: Admission | None = None,
) -> Reply:
    """A problem document; with an admission its limits are shown and its completion is recorded."""
    body = problem_bytes(error, request_id)
    headers = [*static, *lowered(problem_headers(error)), (b"content-length", b"%d" % len(body))]
    if admission is None:
        headers.append((b"x-request-id", request_id.encode()))
        return Reply(error.status, headers, body)
    headers += admission_headers(admission, error.status, request_id)
    return Reply(error.status, headers, body, admission.usage_id, admission.ts_us)


async def send_reply(send: Send, reply: Reply, *, is_head: bool) -> None:
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    await send({"type": "http.response.body", "body": b"" if is_head else reply.body})
