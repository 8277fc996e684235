"""REST framework and the OpenAPI document."""

from __future__ import annotations

from typing import Any

from focsal.settings.base import PUBLIC_BASE_URL

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["apps.keys.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["apps.tiers.permissions.LayerPermission"],
    "DEFAULT_RENDERER_CLASSES": ["apps.core.renderers.PlainJSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "apps.core.problems.drf_exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "FOCSAL API",
    "VERSION": "1.0.0",
    "DESCRIPTION": (
        "Public market data of five crypto-derivatives venues, interpreted. Every metric carries 30 days "
        "of context; what is missing is null with a null_reason. Test keys (fk_test_) read the sandbox "
        "market, live keys (fk_live_) the live one. /docs/ explains, /docs/errors/ lists every error."
    ),
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/v1",
    "SERVERS": [{"url": PUBLIC_BASE_URL}],
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
    "PREPROCESSING_HOOKS": ["apps.core.schema.only_public_api"],
    "POSTPROCESSING_HOOKS": ["apps.core.schema.add_components"],
    "TAGS": [
        {"name": "L1 Futures Foundation", "description": "Pro and Enterprise."},
        {"name": "Streaming", "description": "Beside the sockets; see /docs/websocket/."},
        {"name": "Webhooks", "description": "Where you want to be told; see /docs/webhooks/."},
        {"name": "Alerts", "description": "Your own conditions; see /docs/alerts/."},
        {"name": "Webhook events", "description": "What webhooks are sent, signed."},
        {"name": "Keys", "description": "By session cookie, never by key; see /docs/keys/."},
        {"name": "Meta", "description": "Public: no key, counts nothing."},
    ],
    "REDOC_DIST": "SIDECAR",
}
