"""The error tree. Each error has a stable ``code``; REST and WebSocket render the same fields."""

from __future__ import annotations

from typing import Any, ClassVar


class FocsalError(Exception):
    """Base of every error that a caller may see. ``detail`` says what was expected and what came."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str,
        *,
        param: str | None = None,
        retry_after: int | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.param = param
        self.retry_after = retry_after
        self.extra = extra or {}


class MissingApiKey(FocsalError):
    code, status, title = "missing_api_key", 401, "API key missing"


class InvalidApiKey(FocsalError):
    code, status, title = "invalid_api_key", 401, "API key not valid"


class RevokedApiKey(FocsalError):
    code, status, title = "revoked_api_key", 401, "API key revoked"


class WrongEnvironment(FocsalError):
    code, status, title = "wrong_environment", 401, "API key of another environment"


class TierRequired(FocsalError):
    code, status, title = "tier_required", 403, "Plan does not include this"


class PermissionDenied(FocsalError):
    code, status, title = "permission_denied", 403, "Not allowed"


class IpNotAllowed(FocsalError):
    code, status, title = "ip_not_allowed", 403, "Address not on the key's list"


class KeySuspended(FocsalError):
    code, status, title = "key_suspended", 403, "API key rests"


class RateLimited(FocsalError):
    code, status, title = "rate_limited", 429, "Too many requests"


class QuotaExceeded(FocsalError):
    code, status, title = "quota_exceeded", 429, "Quota used up"


class InvalidParameter(FocsalError):
    code, status, title = "invalid_parameter", 400, "Parameter not valid"


class UnknownAsset(FocsalError):
    code, status, title = "unknown_asset", 404, "Asset not covered"


class NotFound(FocsalError):
    code, status, title = "not_found", 404, "Not found"


class MethodNotAllowed(FocsalError):
    code, status, title = "method_not_allowed", 405, "Method not allowed"


class NotAcceptable(FocsalError):
    code, status, title = "not_acceptable", 406, "Format not available"


class IdempotencyConflict(FocsalError):
    code, status, title = "idempotency_conflict", 409, "Idempotency-Key used for another request"


class LimitReached(FocsalError):
    code, status, title = "limit_reached", 409, "As many as the account may have"


class KeyLimitReached(FocsalError):
    code, status, title = "key_limit_reached", 409, "No more keys on this plan"


class SnapshotUnavailable(FocsalError):
    code, status, title = "snapshot_unavailable", 503, "Snapshot not available"


class NotReady(FocsalError):
    code, status, title = "not_ready", 503, "Not ready yet"


class Overloaded(FocsalError):
    code, status, title = "overloaded", 503, "Too busy at the moment"


class InternalError(FocsalError):
    pass


# Of streams: frames on sockets, and problem documents of /v1/sse.


class AuthTimeout(FocsalError):
    code, status, title = "auth_timeout", 408, "Not authenticated in time"


class InvalidFrame(FocsalError):
    code, status, title = "invalid_frame", 400, "Frame not valid"


class UnknownOp(FocsalError):
    code, status, title = "unknown_op", 400, "Operation unknown"


class UnknownChannel(FocsalError):
    code, status, title = "unknown_channel", 404, "Channel unknown"


class NotSubscribed(FocsalError):
    code, status, title = "not_subscribed", 409, "Not subscribed"


class AlreadyAuthenticated(FocsalError):
    code, status, title = "already_authenticated", 409, "Already authenticated"


class SubscriptionLimit(FocsalError):
    code, status, title = "subscription_limit", 429, "Too many subscriptions"


class SocketLimit(FocsalError):
    code, status, title = "socket_limit", 429, "Too many sockets"


class SlowConsumer(FocsalError):
    code, status, title = "slow_consumer", 429, "Read too slowly"


class SessionClosed(FocsalError):
    code, status, title = "session_closed", 409, "Closed by the account"


class GoingAway(FocsalError):
    code, status, title = "going_away", 503, "Server restarts"


class StreamUnavailable(FocsalError):
    code, status, title = "stream_unavailable", 503, "Stream not available"
