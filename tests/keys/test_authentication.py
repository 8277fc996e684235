"""Keyed requests through Django: who gets in, what refusals say, which headers they carry."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.core import redis as core_redis
from apps.core.logs import logging_config
from apps.keys.authentication import key_from_headers
from apps.keys.format import new_key
from apps.keys.models import ApiKey
from apps.keys.services import key_revoke, records_sync
from apps.tiers import gate
from apps.tiers.admission import Admission, Outcome
from apps.tiers.limits import COMPLETIONS_STREAM
from apps.usage.completions import decode_completion
from tests.customers import Customer, make_customer

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("clean_redis"),
    pytest.mark.urls("tests.keys.urls"),
]
RATE_HEADERS = (
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Quota-Day-Remaining",
    "X-Quota-Month-Remaining",
)


@pytest.fixture
def alice() -> Customer:
    return make_customer("pro")


@pytest.fixture
def web() -> Client:
    return Client(raise_request_exception=False)


def problem(response: Any) -> dict[str, Any]:
    assert response["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = json.loads(response.content)
    assert document["request_id"] == response["X-Request-Id"]
    return document


def completions() -> list[Any]:
    client: Any = core_redis.sync_redis()
    return [decode_completion(fields[b"c"]) for _, fields in client.xrange(COMPLETIONS_STREAM)]


def test_a_key_in_either_header_is_let_in(web: Client, alice: Customer) -> None:
    first = web.get("/v1/one", headers=alice.headers)
    assert first.json() == {"plan": "pro", "pk": f"key:{alice.key.pk}"}
    second = web.get("/v1/one", headers={"Authorization": f"Bearer {alice.plaintext}"})
    assert second.status_code == 200
    assert [second[name] for name in RATE_HEADERS[:2]] == ["40", "38"]
    assert (second["X-Quota-Day-Remaining"], second["X-Quota-Month-Remaining"]) == (
        "24998",
        "749998",
    )
    assert 0 < int(second["X-RateLimit-Reset"]) - time.time() <= 61


@pytest.mark.parametrize(
    ("api_key", "authorization", "key"),
    [
        (None, None, None),
        ("a", "Bearer b", "a"),
        (None, "bearer  b ", "b"),
        (None, "Basic b", None),
        (None, "Bearer", None),
        ("", "", None),
    ],
)
def test_where_a_key_may_stand(
    api_key: str | None, authorization: str | None, key: str | None
) -> None:
    assert key_from_headers(api_key, authorization) == key


def test_without_a_key_the_answer_says_how_to_send_one(web: Client) -> None:
    response = web.get("/v1/one")
    assert response.status_code == 401
    document = problem(response)
    assert document["code"] == "missing_api_key"
    assert "X-API-Key" in document["detail"]
    assert not any(name in response for name in RATE_HEADERS)


def test_a_typo_is_refused_without_any_look_up(
    web: Client, alice: Customer, django_assert_num_queries: Any
) -> None:
    swapped = alice.plaintext[:20] + alice.plaintext[21] + alice.plaintext[20]
    typo = swapped + alice.plaintext[22:]
    typo = typo if typo != alice.plaintext else alice.plaintext[:-1] + "!"
    away = mock.Mock(side_effect=AssertionError("Redis was asked"))
    for bad in (typo, "x", "fk_test_", "é", "fk_test_" + "0" * 32, "\x7f" * 40):
        with (
            django_assert_num_queries(0),
            mock.patch("redis.connection.AbstractConnection.send_packed_command", away),
        ):
            response = web.get("/v1/one", headers={"X-API-Key": bad})
        assert response.status_code == 401
        document = problem(response)
        assert document["code"] == "invalid_api_key"
        assert bad == "x" or bad not in document["detail"].replace("fk_test_", "", 1)


def test_a_key_of_another_environment_is_told_which_prefix_fits(web: Client) -> None:
    other = new_key("live")
    document = problem(web.get("/v1/one", headers={"X-API-Key": other}))
    assert document["code"] == "wrong_environment"
    assert "fk_test_" in document["detail"]
    assert other not in json.dumps(document)


def test_an_unknown_key_is_not_valid(web: Client) -> None:
    document = problem(web.get("/v1/one", headers={"X-API-Key": new_key("test")}))
    assert document["code"] == "invalid_api_key"


def test_a_revoked_key_is_refused_at_once(
    web: Client, alice: Customer, django_capture_on_commit_callbacks: Any
) -> None:
    assert web.get("/v1/one", headers=alice.headers).status_code == 200
    with django_capture_on_commit_callbacks(execute=True):
        key_revoke(account_id=alice.account.pk, key_id=alice.key.pk)
    response = web.get("/v1/one", headers=alice.headers)
    assert response.status_code == 401
    assert problem(response)["code"] == "revoked_api_key"


def test_an_expired_key_is_refused(web: Client, alice: Customer) -> None:
    past = timezone.now() - timedelta(seconds=1)
    ApiKey.objects.filter(pk=alice.key.pk).update(expires_at=past, record_version=2)
    records_sync(key_ids=[alice.key.pk])
    document = problem(web.get("/v1/one", headers=alice.headers))
    assert document["code"] == "invalid_api_key"
    assert "expired" in document["detail"]


def test_a_missing_layer_says_which_plan_has_it(web: Client, alice: Customer) -> None:
    response = web.get("/v1/two", headers=alice.headers)
    assert response.status_code == 403
    document = problem(response)
    assert document["code"] == "tier_required"
    assert (document["required_layer"], document["required_plan"]) == ("L2", "Enterprise")
    assert [response[name] for name in RATE_HEADERS[1:4:2]] == ["39", "24999"]
    assert web.get("/v1/two", headers=make_customer("enterprise", "eve").headers).status_code == 200


def test_the_41st_request_of_a_minute_is_told_when_to_come_back(
    web: Client, alice: Customer
) -> None:
    for left in range(39, -1, -1):
        response = web.get("/v1/one", headers=alice.headers)
        assert response["X-RateLimit-Remaining"] == str(left)
    response = web.get("/v1/one", headers=alice.headers)
    assert response.status_code == 429
    document = problem(response)
    assert document["code"] == "rate_limited"
    assert response["Retry-After"] == str(document["retry_after"])
    assert 1 <= document["retry_after"] <= 60
    assert response["X-Quota-Day-Remaining"] == "24960"


@pytest.mark.parametrize(
    ("status", "left"), [(200, 24_999), (404, 24_999), (400, 24_999), (304, 25_000), (500, 25_000)]
)
def test_headers_show_what_the_answer_costs(
    web: Client, alice: Customer, status: int, left: int
) -> None:
    response = web.get(f"/v1/one?status={status}", headers=alice.headers)
    assert response.status_code == status
    assert response["X-Quota-Day-Remaining"] == str(left)
    assert [done.status for done in completions()] == [status]


def test_a_defect_is_a_problem_with_headers_and_a_completion(web: Client, alice: Customer) -> None:
    response = web.get("/v1/broken", headers=alice.headers)
    assert response.status_code == 500
    assert problem(response)["code"] == "internal"
    assert response["X-Quota-Day-Remaining"] == "25000"
    (done,) = completions()
    assert (done.status, done.served_by) == (500, "drf")


def test_a_streamed_answer_is_recorded_with_its_size_when_it_ends(
    web: Client, alice: Customer
) -> None:
    response: Any = web.get("/v1/stream", headers=alice.headers)
    assert completions() == []
    assert b"".join(response.streaming_content) == b"12345678"
    (done,) = completions()
    assert (done.status, done.body_bytes) == (200, 8)


def test_the_edges_decision_is_taken_and_nothing_charged_again(alice: Customer) -> None:
    from tests.keys.urls import Layer1View, Layer2View

    decided = Admission(
        Outcome.ADMITTED,
        key_id=alice.key.pk,
        account_id=alice.account.pk,
        plan="pro",
        layers=frozenset({"L1"}),
        layer_plans="L1=Pro,L2=Enterprise",
        ts_us=1,
    )
    with mock.patch.object(gate, "admit", side_effect=AssertionError("asked again")):
        for view, status in ((Layer1View, 200), (Layer2View, 403)):
            request = HttpRequest()
            request.method = "GET"
            request.META.update({"SERVER_NAME": "testserver", "SERVER_PORT": "80"})
            request.scope = {"focsal.admission": decided}  # type: ignore[attr-defined]
            assert view.as_view()(request).status_code == status


def test_pages_call_with_their_session_limited_but_not_counted(
    web: Client, alice: Customer
) -> None:
    web.force_login(alice.user)
    response = web.get("/v1/one")
    assert response.json() == {"plan": "pro", "pk": f"user:{alice.user.pk}"}
    assert response["X-RateLimit-Remaining"] == "39"
    assert "X-Quota-Day-Remaining" not in response
    assert completions() == []
    assert problem(web.get("/v1/two"))["code"] == "tier_required"
    assert problem(web.post("/v1/one"))["code"] == "missing_api_key"
    for _ in range(38):
        web.get("/v1/one")
    assert web.get("/v1/one").status_code == 429


def test_a_session_without_account_or_inactive_gets_nothing(web: Client, alice: Customer) -> None:
    web.force_login(alice.user)
    alice.user.is_active = False
    alice.user.save()
    assert web.get("/v1/one").status_code == 401
    alice.user.is_active, alice.user.account = True, None
    alice.user.save()
    assert web.get("/v1/one").status_code == 401


@pytest.fixture
def log_lines() -> Iterator[io.StringIO]:
    """Everything that is logged, in the form that leaves the process."""
    stream = io.StringIO()
    config = logging_config("DEBUG")
    handler = logging.StreamHandler(stream)
    formatter = config["formatters"]["json"]
    factory = formatter.pop("()")
    handler.setFormatter(factory(**formatter))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(before)


def test_keys_reach_neither_logs_nor_answers(
    web: Client, alice: Customer, log_lines: io.StringIO
) -> None:
    secret = alice.plaintext[12:]
    bodies = [
        web.get(url, headers=headers).content
        for url in ("/v1/one", "/v1/two", "/v1/broken", f"/v1/none?api_key={alice.plaintext}")
        for headers in (alice.headers, {"Authorization": f"Bearer {alice.plaintext}"}, {})
    ]
    logging.getLogger("anything").warning("seen %s", alice.plaintext)
    assert log_lines.getvalue().count("\n") >= 3
    assert secret not in log_lines.getvalue()
    assert not any(secret.encode() in body for body in bodies)


def test_nothing_in_postgresql_or_redis_holds_a_key(web: Client, alice: Customer) -> None:
    with CaptureQueriesContext(connection) as queries:
        url = f"/v1/one?asset={alice.plaintext}&api_key={alice.plaintext}"
        assert web.get(url, headers=alice.headers).status_code == 200
    assert not any(alice.plaintext in query["sql"] for query in queries)
    client: Any = core_redis.sync_redis()
    secret = alice.plaintext[12:].encode()
    for name in client.scan_iter("focsal:*"):
        assert secret not in name
        if client.type(name) == b"stream":
            assert all(secret not in value for _, f in client.xrange(name) for value in f.values())
        if client.type(name) == b"hash":
            assert all(secret not in value for value in client.hgetall(name).values())


def test_settings_put_the_usage_middleware_outside_of_problem_answers() -> None:
    order = django_settings.MIDDLEWARE
    usage = order.index("apps.usage.middleware.UsageMiddleware")
    assert order.index("apps.core.middleware.RequestIdMiddleware") < usage
    assert usage < order.index("apps.core.middleware.ProblemResponseMiddleware")
