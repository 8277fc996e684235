"""What every endpoint's OpenAPI has in common: problems, headers, security, and contract types as schemas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from apps.core.error_guide import ERROR_GUIDE, ErrorEntry, entries_of
from apps.core.problems import CONTENT_TYPE, problem_document

_EXAMPLE_ID: Final = "req_0a1b2c3d4e5f6g7h8j9k0m1n2p"
_REF: Final = "#/components/schemas/{name}"
KEYED_CODES: Final = (
    "missing_api_key",
    "invalid_api_key",
    "revoked_api_key",
    "wrong_environment",
    "ip_not_allowed",
    "key_suspended",
    "tier_required",
    "rate_limited",
    "quota_exceeded",
    "method_not_allowed",
    "internal",
    "overloaded",
)

PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457 problem document. Codes are stable; detail is for people.",
    "required": ["type", "title", "status", "detail", "code", "request_id", "docs"],
    "properties": {
        "type": {"type": "string", "description": "Address of the code's documentation."},
        "title": {"type": "string"},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What was expected and what came."},
        "code": {
            "type": "string",
            "enum": [entry.code for entry in ERROR_GUIDE],
            "description": "Stable name of the error.",
        },
        "param": {"type": "string", "description": "The parameter that is wrong."},
        "expected": {"type": "string"},
        "received": {"type": "string"},
        "request_id": {"type": "string", "description": "Quote it when you write to us."},
        "docs": {"type": "string"},
        "retry_after": {"type": "integer", "description": "Seconds to wait, with 429 and 503."},
        "required_layer": {"type": "string"},
        "required_plan": {"type": ["string", "null"]},
        "quota": {"type": "string", "description": "The quota that is used up: day or month."},
    },
}


def ref(contract: type[msgspec.Struct]) -> dict[str, Any]:
    """A reference to a contract type's schema in the document."""
    return {"$ref": _REF.format(name=contract.__name__)}


_contracts: dict[str, type[msgspec.Struct]] = {}
_plain: dict[str, dict[str, Any]] = {"Problem": PROBLEM_SCHEMA}
_late: list[Callable[[], dict[str, Any]]] = []


def publish_schemas(
    contracts: Sequence[type[msgspec.Struct]] = (), plain: dict[str, dict[str, Any]] | None = None
) -> None:
    """Make contract types (and plain schemas) part of the document's components."""
    _contracts.update({contract.__name__: contract for contract in contracts})
    _plain.update(plain or {})


def publish_late(describe: Callable[[], dict[str, Any]]) -> None:
    """``describe`` is asked when the document is made; it gives ``components`` (schemas) and ``webhooks``."""
    _late.append(describe)


def component_schemas() -> dict[str, Any]:
    _, components = msgspec.json.schema_components(_contracts.values(), ref_template=_REF)
    return {**components, **_plain}


def add_components(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """drf-spectacular postprocessing hook: components that no serializer stands for."""
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(component_schemas())
    for describe in _late:
        parts = describe()
        schemas.update(parts["components"])
        result.setdefault("webhooks", {}).update(parts["webhooks"])
    return result


def only_public_api(endpoints: list[Any]) -> list[Any]:
    """drf-spectacular preprocessing hook: what customers call, nothing of the pages and the admin."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/v1/")]


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # untyped base
    """Both header forms of a key, either one is enough; and what a page of ours may show instead."""

    target_class = "apps.keys.authentication.ApiKeyAuthentication"
    name = ["ApiKeyHeader", "BearerKey", "PageSession", "PageToken"]

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[Any]]]:
        return [{"ApiKeyHeader": []}, {"BearerKey": []}]

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        form = "fk_live_ or fk_test_ and 32 letters and digits"
        return [
            {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": form},
            {"type": "http", "scheme": "bearer", "description": f"The same key: {form}"},
            {
                "type": "apiKey",
                "in": "cookie",
                "name": settings.SESSION_COOKIE_NAME,
                "description": "A signed-in page's session.",
            },
            {
                "type": "apiKey",
                "in": "header",
                "name": "X-CSRFToken",
                "description": "That page's CSRF token.",
            },
        ]


def problem_responses(*codes: str) -> dict[Any, OpenApiResponse]:
    """One response per status, with an example of every code that has it."""
    by_status: dict[int, list[ErrorEntry]] = {}
    for entry in entries_of(*codes):
        by_status.setdefault(entry.status, []).append(entry)
    return {
        (status, CONTENT_TYPE): OpenApiResponse(
            response={"$ref": _REF.format(name="Problem")},
            description=" / ".join(dict.fromkeys(entry.title for entry in entries)),
            examples=[_example(entry) for entry in entries],
        )
        for status, entries in by_status.items()
    }


def _example(entry: ErrorEntry) -> OpenApiExample:
    return OpenApiExample(
        entry.code,
        summary=entry.when,
        value=problem_document(entry.example, _EXAMPLE_ID),
        media_type=CONTENT_TYPE,
        response_only=True,
        status_codes=[str(entry.status)],
    )


def response_header(
    name: str, description: str, statuses: Sequence[int], kind: type = str
) -> OpenApiParameter:
    return OpenApiParameter(
        name,
        kind,
        OpenApiParameter.HEADER,
        description=description,
        response=list(statuses),
    )


_LIMITED: Final = (200, 304, 400, 403, 404, 405, 406, 429, 500, 503)
KEYED_HEADERS: Final = (
    response_header("X-RateLimit-Limit", "Requests a minute that the key may make", _LIMITED, int),
    response_header("X-RateLimit-Remaining", "Requests left in this minute", _LIMITED, int),
    response_header("X-RateLimit-Reset", "Unix second at which one more is free", _LIMITED, int),
    response_header("X-Quota-Day-Remaining", "Calls left today (UTC)", _LIMITED, int),
    response_header("X-Quota-Month-Remaining", "Calls left this month (UTC)", _LIMITED, int),
    response_header("X-Request-Id", "Id of this request", (*_LIMITED, 401)),
    response_header("Retry-After", "Seconds to wait", (429, 503), int),
)
DATA_HEADERS: Final = (
    response_header(
        "ETag", "Weak: the snapshot and its freshness; send it as If-None-Match", (200, 304)
    ),
    response_header("X-Next-Update-At", "When the next snapshot is due, ISO 8601 UTC", (200, 304)),
    response_header(
        "X-Next-Cursor", "Cursor of the next page of history, when there is one", (200,)
    ),
    response_header("Cache-Control", "private, no-cache", (200, 304)),
)
