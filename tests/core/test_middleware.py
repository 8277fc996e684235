from __future__ import annotations

import json
from typing import Any

import pytest
import structlog
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from apps.core.middleware import ProblemResponseMiddleware, RequestIdMiddleware
from apps.core.problems import CONTENT_TYPE

FACTORY = RequestFactory()


def _with_id(request: HttpRequest, response: HttpResponse | None = None) -> HttpResponse:
    answer = RequestIdMiddleware(lambda _request: response or HttpResponse())(request)
    assert isinstance(answer, HttpResponse)
    return answer


def test_every_response_gets_an_id() -> None:
    assert _with_id(FACTORY.get("/"))["X-Request-Id"].startswith("req_")


def test_a_harmless_id_of_the_caller_is_kept() -> None:
    answer = _with_id(FACTORY.get("/", headers={"X-Request-Id": "trace-12345"}))
    assert answer["X-Request-Id"] == "trace-12345"


@pytest.mark.parametrize("offered", ["x", "a b c d e f", "y" * 65])
def test_a_harmful_id_is_replaced(offered: str) -> None:
    answer = _with_id(FACTORY.get("/", headers={"X-Request-Id": offered}))
    assert answer["X-Request-Id"] != offered


def test_the_id_of_the_edge_wins() -> None:
    request: Any = FACTORY.get("/", headers={"X-Request-Id": "from-caller"})
    request.scope = {"focsal.request_id": "req_from_edge"}
    assert _with_id(request)["X-Request-Id"] == "req_from_edge"


def test_logs_inside_carry_the_id_and_lose_it_after() -> None:
    seen: dict[str, Any] = {}

    def view(_request: HttpRequest) -> HttpResponse:
        seen.update(structlog.contextvars.get_contextvars())
        return HttpResponse()

    answer = RequestIdMiddleware(view)(FACTORY.get("/"))
    assert seen["request_id"] == answer.headers["X-Request-Id"]
    assert "request_id" not in structlog.contextvars.get_contextvars()


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_body_claims_no_length_and_no_type(status: int) -> None:
    """RFC 9110 8.6: a 304 may only give the length that the 200 would have had."""
    answer = _with_id(
        FACTORY.get("/"), HttpResponse(status=status, headers={"Content-Length": "0"})
    )
    assert "Content-Length" not in answer
    assert "Content-Type" not in answer


@pytest.mark.parametrize(
    ("status", "code", "answered"),
    [
        (404, "not_found", 404),
        (405, "method_not_allowed", 405),
        (403, "permission_denied", 403),
        (400, "invalid_parameter", 400),
        (500, "internal", 500),
    ],
)
@pytest.mark.parametrize("path", ["/v1/nothing", "/health/nothing", "/openapi.jsonx"])
def test_plain_errors_of_the_api_become_problems(
    path: str, status: int, code: str, answered: int
) -> None:
    request: Any = FACTORY.get(path)
    request.request_id = "req_7"
    inner = HttpResponse("<h1>html</h1>", status=status, headers={"Allow": "GET", "X-Other": "1"})
    answer: Any = ProblemResponseMiddleware(lambda _request: inner)(request)
    document = json.loads(answer.content)
    assert (answer.status_code, answer["Content-Type"]) == (answered, CONTENT_TYPE)
    assert (document["code"], document["request_id"]) == (code, "req_7")
    assert answer["Allow"] == "GET"


def test_pages_and_ready_problems_stay_as_they_are() -> None:
    page = HttpResponse("<h1>not here</h1>", status=404)
    assert ProblemResponseMiddleware(lambda _request: page)(FACTORY.get("/account")) is page
    problem = HttpResponse(b"{}", status=404, content_type=CONTENT_TYPE)
    assert ProblemResponseMiddleware(lambda _request: problem)(FACTORY.get("/v1/x")) is problem
    fine = HttpResponse(b"{}")
    assert ProblemResponseMiddleware(lambda _request: fine)(FACTORY.get("/v1/x")) is fine
