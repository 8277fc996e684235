from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions as drf

from apps.core import errors
from apps.core.problems import CONTENT_TYPE, drf_exception_handler, from_exception, problem_bytes


def test_the_document_has_the_members_of_the_contract() -> None:
    error = errors.InvalidParameter(
        "interval: expected 1m, received '7m'.", param="interval", extra={"expected": "1m"}
    )
    assert json.loads(problem_bytes(error, "req_1")) == {
        "type": "/docs/errors/#invalid_parameter",
        "title": "Parameter not valid",
        "status": 400,
        "detail": "interval: expected 1m, received '7m'.",
        "code": "invalid_parameter",
        "request_id": "req_1",
        "docs": "/docs/errors/#invalid_parameter",
        "param": "interval",
        "expected": "1m",
    }


def test_retry_after_is_in_document_and_header() -> None:
    response = drf_exception_handler(errors.RateLimited("slow down", retry_after=7), {})
    assert response is not None
    assert (response.status_code, response["Retry-After"]) == (429, "7")
    assert response.data["retry_after"] == 7
    assert response.content_type == CONTENT_TYPE


@pytest.mark.parametrize(
    ("exc", "status", "code"),
    [
        (Http404(), 404, "not_found"),
        (drf.NotFound(), 404, "not_found"),
        (drf.MethodNotAllowed("POST"), 405, "method_not_allowed"),
        (drf.NotAcceptable(), 406, "not_acceptable"),
        (drf.ParseError(), 400, "invalid_parameter"),
        (drf.ValidationError({"x": ["bad"]}), 400, "invalid_parameter"),
        (drf.UnsupportedMediaType("text/x"), 400, "invalid_parameter"),
        (drf.NotAuthenticated(), 401, "missing_api_key"),
        (drf.PermissionDenied(), 403, "permission_denied"),
        (errors.TierRequired("needs Enterprise"), 403, "tier_required"),
        (OperationalError("connection to server at 10.0.0.1 failed"), 503, "not_ready"),
        (InterfaceError("the connection is closed"), 503, "not_ready"),
    ],
)
def test_framework_errors_become_ours(exc: Exception, status: int, code: str) -> None:
    error = from_exception(exc)
    assert error is not None
    assert (error.status, error.code) == (status, code)


def test_a_database_that_is_away_is_said_without_its_address() -> None:
    response = drf_exception_handler(OperationalError("server at 10.0.0.1 failed, user focsal"), {})
    assert response is not None
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert "10.0.0.1" not in str(response.data)


def test_a_defect_is_500_and_tells_nothing() -> None:
    response = drf_exception_handler(ZeroDivisionError("secret internals"), {})
    assert response is not None
    assert (response.status_code, response.data["code"]) == (500, "internal")
    assert "secret" not in str(response.data)


def _tree(root: type[errors.FocsalError]) -> list[type[errors.FocsalError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


def test_codes_are_unique_and_the_promised_ones_exist() -> None:
    leaves: list[Any] = [cls for cls in _tree(errors.FocsalError) if not cls.__subclasses__()]
    codes = [cls.code for cls in leaves if cls.__module__ == "apps.core.errors"]
    assert len(codes) == len(set(codes))
    assert set(codes) >= {
        "missing_api_key",
        "invalid_api_key",
        "revoked_api_key",
        "wrong_environment",
        "tier_required",
        "rate_limited",
        "quota_exceeded",
        "invalid_parameter",
        "unknown_asset",
        "not_found",
        "method_not_allowed",
        "snapshot_unavailable",
        "internal",
    }
