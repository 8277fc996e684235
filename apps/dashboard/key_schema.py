"""OpenAPI of ``/v1/account/keys``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from apps.alerts.idempotency import HEADER
from apps.core.schema import problem_responses, publish_schemas, response_header

TAG: Final = "Keys"
_TEXT: Final = {"type": "string"}
_WORDS: Final = {"type": "array", "items": _TEXT}
_MOMENT: Final = {"type": ["string", "null"], "format": "date-time"}
_KEY: Final[dict[str, Any]] = {
    "id": {"type": "integer"},
    "name": _TEXT,
    "prefix": {"type": "string", "description": "The key's first characters."},
    "environment": {"enum": ["live", "test"]},
    "layers": {**_WORDS, "description": "Empty: all layers of the plan."},
    "channels": {**_WORDS, "description": "Empty: all channels of the plan."},
    "allowed_ips": {**_WORDS, "description": "Networks; empty: from anywhere."},
    "is_active": {"type": "boolean"},
    "created_at": {"type": "string", "format": "date-time"},
    "last_used_at": _MOMENT,
    "expires_at": _MOMENT,
    "superseded_at": {**_MOMENT, "description": "When it was rolled."},
    "suspended_until": {**_MOMENT, "description": "It rests after 429 without a pause."},
    "revoked_at": _MOMENT,
    "revoked_reason": {"type": ["string", "null"]},
}


def _shape(**more: Any) -> dict[str, Any]:
    properties = {**_KEY, **more}
    return {"type": "object", "required": list(properties), "properties": properties}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


publish_schemas(
    plain={
        "ApiKey": _shape(),
        "ApiKeyShown": _shape(key={"type": "string", "description": "Shown this once."}),
        "ApiKeys": {
            "type": "object",
            "required": ["data"],
            "properties": {"data": {"type": "array", "items": _ref("ApiKey")}},
        },
        "ApiKeyNew": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 80},
                "layers": _WORDS,
                "channels": {**_WORDS, "description": "Names such as liquidations."},
                "allowed_ips": {**_WORDS, "description": "Addresses or networks, at most 20."},
                "expires_at": {**_MOMENT, "description": "Null: never."},
            },
        },
        "ApiKeyRoll": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "grace_hours": {
                    "type": "integer",
                    "minimum": 0,
                    "maximum": 168,
                    "default": 0,
                    "description": "How long the old key works on.",
                }
            },
        },
    }
)
_EXAMPLE: Final[dict[str, Any]] = {
    "id": 7,
    "name": "bot",
    "prefix": "fk_test_3fQ9",
    "environment": "test",
    "layers": ["L1"],
    "channels": [],
    "allowed_ips": ["203.0.113.0/24"],
    "is_active": True,
    "created_at": "2026-05-17T19:00:00Z",
    "last_used_at": "2026-05-17T20:14:30Z",
    "expires_at": None,
    "superseded_at": None,
    "suspended_until": None,
    "revoked_at": None,
    "revoked_reason": None,
}
_SHOWN: Final = {**_EXAMPLE, "last_used_at": None, "key": "fk_test_" + "x" * 32}
_REVOKED: Final = {
    **_EXAMPLE,
    "is_active": False,
    "revoked_at": "2026-05-18T08:00:00Z",
    "revoked_reason": "revoked by its owner",
}
_CODES: Final = (
    "missing_api_key", "permission_denied", "invalid_parameter", "method_not_allowed", "internal",
)  # fmt: skip
_CSRF: Final = OpenApiParameter(
    "X-CSRFToken",
    str,
    OpenApiParameter.HEADER,
    required=True,
    description="The value of the csrftoken cookie.",
)
_ONCE: Final = (
    OpenApiParameter(
        HEADER,
        str,
        OpenApiParameter.HEADER,
        description="1 to 255 printable ASCII characters of your own. The same request with the same key is "
        "done once and answered the same, to the same user, for ten minutes; for the rest of the day the "
        "409 names the key that was made and shows it no more. Another request with it is a 409.",
    ),
    response_header("Idempotency-Replayed", "true on an answer that was given before", (201,)),
)


def _operation(
    operation: str,
    summary: str,
    answer: tuple[str, Any],
    *codes: str,
    status: int = 200,
    body: tuple[str, Mapping[str, Any]] | None = None,
    is_write: bool = True,
    is_once: bool = False,
) -> Callable[[Any], Any]:
    asked = [] if body is None else body[1].items()
    decorator: Callable[[Any], Any] = extend_schema(
        operation_id=operation,
        tags=[TAG],
        summary=summary,
        description=f"{summary}. For the signed-in user's own programs: session cookie and CSRF token, "
        "never an API key. Counts nothing.",
        parameters=[
            response_header("X-Request-Id", "Id of this request", (200, 201, 400, 401, 403, 404)),
            *([_CSRF] if is_write else []),
            *(_ONCE if is_once else ()),
        ],
        request=None if body is None else {"application/json": _ref(body[0])},
        responses={
            (status, "application/json"): OpenApiResponse(response=_ref(answer[0])),
            **problem_responses(*_CODES, *(("idempotency_conflict",) if is_once else ()), *codes),
        },
        examples=[
            *(OpenApiExample(name, value=value, request_only=True) for name, value in asked),
            OpenApiExample(
                operation, value=answer[1], response_only=True, status_codes=[str(status)]
            ),
        ],
    )
    return decorator


key_list = _operation("key_list", "Your keys", ("ApiKeys", {"data": [_EXAMPLE]}), is_write=False)
key_show = _operation("key_show", "One key", ("ApiKey", _EXAMPLE), "not_found", is_write=False)
key_create = _operation(
    "key_create",
    "Make a key; it is in this answer alone",
    ("ApiKeyShown", _SHOWN),
    "key_limit_reached",
    status=201,
    is_once=True,
    body=("ApiKeyNew", {"scoped": {"name": "bot", "layers": ["L1"], "allowed_ips": ["203.0.113.0/24"]}}),
)  # fmt: skip
key_revoke = _operation(
    "key_revoke", "Revoke a key at once, everywhere", ("ApiKey", _REVOKED), "not_found"
)
key_roll = _operation(
    "key_roll",
    "A new secret with the same name and scope",
    ("ApiKeyShown", _SHOWN),
    "not_found",
    status=201,
    is_once=True,
    body=("ApiKeyRoll", {"a_day": {"grace_hours": 24}}),
)
