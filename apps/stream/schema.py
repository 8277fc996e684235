"""How the OpenAPI document describes what lies beside the sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from apps.core.schema import KEYED_CODES, KEYED_HEADERS, problem_responses, publish_schemas

TAG: Final = "Streaming"
_SESSION: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["id", "transport", "key_id", "connected_at", "subscriptions"],
    "properties": {
        "id": {"type": "string"},
        "transport": {"enum": ["websocket", "sse"]},
        "key_id": {"type": "integer"},
        "connected_at": {"type": "string", "format": "date-time"},
        "subscriptions": {"type": "array", "items": {"type": "string"}},
        "frames_sent": {"type": "integer"},
        "frames_received": {"type": "integer"},
    },
}
_IDS: Final[dict[str, Any]] = {"type": "array", "items": {"type": "string"}}
_NAME: Final = "ses_06e8z3k1q0x9v2m4n7p5r8s6t1"
publish_schemas(
    plain={
        "StreamSession": _SESSION,
        "StreamSessions": {
            "type": "object",
            "required": ["data"],
            "properties": {
                "data": {"type": "array", "items": {"$ref": "#/components/schemas/StreamSession"}}
            },
        },
        "StreamTicket": {
            "type": "object",
            "required": ["ticket", "expires_in"],
            "properties": {
                "ticket": {"type": "string", "description": "Opens one socket or event stream."},
                "expires_in": {"type": "integer", "description": "Seconds."},
            },
        },
        "StreamClosed": {"type": "object", "required": ["closed"], "properties": {"closed": _IDS}},
    }
)


def _documented(
    operation: str,
    summary: str,
    schema: str,
    example: Any,
    *codes: str,
    status: int = 200,
    more: str = "",
    **further: Any,
) -> Callable[[Any], Any]:
    decorator: Callable[[Any], Any] = extend_schema(
        **further,
        operation_id=operation,
        tags=[TAG],
        summary=summary,
        description=f"{summary}. Counts as one call.{more}",
        request=None,
        parameters=[
            *KEYED_HEADERS,
            *(
                [OpenApiParameter("session_id", str, OpenApiParameter.PATH)]
                if operation == "stream_session_close"
                else []
            ),
        ],
        responses={
            (status, "application/json"): OpenApiResponse(
                response={"$ref": f"#/components/schemas/{schema}"}
            ),
            **problem_responses(*KEYED_CODES, "invalid_parameter", "stream_unavailable", *codes),
        },
        examples=[
            OpenApiExample(operation, value=example, response_only=True, status_codes=[str(status)])
        ],
    )
    return decorator


ticket_schema = _documented(
    "stream_ticket",
    "A one-use ticket, so that a browser opens /v1/ws or /v1/sse without a key in the address",
    "StreamTicket",
    {"ticket": "tkt_2mYv0yTq1cXgH3uJr8sKd5aBn7wLzE4f", "expires_in": 30},
    status=201,
    more=(
        " By API key; or by a signed-in page of the account, with its session's cookie and its CSRF token as "
        "`X-CSRFToken`: then it is not counted, and what it opens has all that the account's plan has and "
        "ends with the session."
    ),
    auth=[{"ApiKeyHeader": []}, {"BearerKey": []}, {"PageSession": [], "PageToken": []}],
)
sessions_schema = _documented(
    "stream_sessions",
    "The account's open sockets and event streams",
    "StreamSessions",
    {
        "data": [
            {
                "id": _NAME,
                "transport": "websocket",
                "key_id": 7,
                "connected_at": "2026-05-17T20:14:33Z",
                "subscriptions": ["liquidations.BTC"],
                "frames_sent": 1204,
                "frames_received": 2,
            }
        ]
    },
)
sessions_delete_schema = _documented(
    "stream_sessions_close",
    "Close all open sockets of the account",
    "StreamClosed",
    {"closed": [_NAME]},
)
session_delete_schema = _documented(
    "stream_session_close",
    "Close one socket of the account",
    "StreamClosed",
    {"closed": [_NAME]},
    "not_found",
)
