"""Every error code, when it comes and what to do: the errors page and the OpenAPI examples read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from apps.core import errors
from apps.core.errors import FocsalError


@dataclass(frozen=True, slots=True)
class ErrorEntry:
    """One documented error; ``example`` is an instance as a caller would meet it."""

    example: FocsalError
    when: str
    remedy: str

    @property
    def code(self) -> str:
        return self.example.code

    @property
    def status(self) -> int:
        return self.example.status

    @property
    def title(self) -> str:
        return self.example.title


ERROR_GUIDE: Final = (
    ErrorEntry(
        errors.InvalidParameter(
            "limit: expected an integer from 1 to 5000, received '0'.",
            param="limit",
            extra={"expected": "an integer from 1 to 5000", "received": "0"},
        ),
        "A query parameter is unknown, given twice, malformed or out of range.",
        "Read param, expected and received; correct the request. Repeating it unchanged fails again.",
    ),
    ErrorEntry(
        errors.MissingApiKey("Send the key as X-API-Key or Authorization: Bearer; none came."),
        "A keyed endpoint was called without a key.",
        "Add the header X-API-Key, or Authorization: Bearer.",
    ),
    ErrorEntry(
        errors.InvalidApiKey("No such API key; check that it was copied whole."),
        "The key has a typo (its checksum does not fit), has expired or does not exist.",
        "Copy the key again as a whole: fk_live_ or fk_test_ and 32 letters and digits.",
    ),
    ErrorEntry(
        errors.RevokedApiKey("This API key was revoked; create another one."),
        "The key was revoked by its owner or by a change of plan.",
        "Create another key on the account page.",
    ),
    ErrorEntry(
        errors.WrongEnvironment(
            "This deployment expects a key beginning fk_test_; the one sent is of another environment."
        ),
        "A test key met the live API, or the reverse.",
        "Use fk_live_ keys with live data and fk_test_ keys with the sandbox.",
    ),
    ErrorEntry(
        errors.TierRequired(
            "Layer L2 is not part of the account's plan (pro); the Enterprise plan has it.",
            extra={"required_layer": "L2", "required_plan": "Enterprise"},
        ),
        "The plan of the account does not include the layer of this endpoint.",
        "Read required_plan; /v1/meta/plans lists what each plan includes.",
    ),
    ErrorEntry(
        errors.PermissionDenied("The request was refused."),
        "The caller is known but may not do this.",
        "Check that the key is not restricted to something else.",
    ),
    ErrorEntry(
        errors.UnknownAsset(
            "asset: 'BTCC' is not covered; /v1/meta/assets lists the 65 that are.",
            param="asset",
            extra={"expected": "an asset of /v1/meta/assets", "received": "BTCC"},
        ),
        "The asset is not among those covered.",
        "Ask /v1/meta/assets for the list; names are those of the coin, not of a venue's symbol.",
    ),
    ErrorEntry(
        errors.NotFound("No resource at /v1/market; the API starts at /v1."),
        "There is nothing at this address.",
        "Compare the path with /docs/ or /openapi.json.",
    ),
    ErrorEntry(
        errors.MethodNotAllowed('Method "POST" not allowed.'),
        "The address exists, but not for this HTTP method.",
        "Read the Allow header; market data is read with GET.",
    ),
    ErrorEntry(
        errors.NotAcceptable(
            "Accept: expected application/json, text/csv or application/x-ndjson.", param="Accept"
        ),
        "The Accept header names only formats that are not offered.",
        "Ask for JSON, CSV or NDJSON, or use format=.",
    ),
    ErrorEntry(
        errors.IdempotencyConflict(
            "This Idempotency-Key was sent with another request; use a new one for each request.",
            param="Idempotency-Key",
        ),
        "An Idempotency-Key came again within a day with another address or body, or later than ten minutes "
        "after an API key was made with it, which is not shown again.",
        "Make a new key for each request, and send it again only to repeat that request.",
    ),
    ErrorEntry(
        errors.LimitReached("An account has at most 20 webhooks; delete one first."),
        "The account has as many webhooks or alert rules as it may have.",
        "Delete one that is not needed.",
    ),
    ErrorEntry(
        errors.KeyLimitReached(
            "The Pro plan allows 3 live keys; 3 are in use. Revoke one first.",
        ),
        "The account has as many keys in use as its plan allows, or its plan has no API.",
        "Revoke a key that is not needed, or change the plan.",
    ),
    ErrorEntry(
        errors.IpNotAllowed("This key may be used from its owner's listed addresses only."),
        "The key has an allow-list of addresses, and the caller's is not on it.",
        "Add the address to the key on the account page, or call from a listed one.",
    ),
    ErrorEntry(
        errors.KeySuspended(
            "This key goes on calling while it is refused, so it rests; it works again in 900 s. "
            "Wait Retry-After seconds after a 429.",
            retry_after=900,
        ),
        "The key was refused with 429 again and again without a pause, after a warning by e-mail.",
        "Make the program wait Retry-After seconds after each 429; the key works again by itself.",
    ),
    ErrorEntry(
        errors.RateLimited(
            "40 requests a minute are allowed; the next is possible in 12 s.", retry_after=12
        ),
        "The key made more requests in the last 60 seconds than its plan allows.",
        "Wait Retry-After seconds. Read X-RateLimit-Remaining before it happens.",
    ),
    ErrorEntry(
        errors.QuotaExceeded(
            "The account's day quota is used up; it starts again in 3600 s (UTC).",
            retry_after=3600,
            extra={"quota": "day"},
        ),
        "The account's day or month quota (UTC) is used up.",
        "Wait Retry-After seconds, send If-None-Match (304 counts nothing), or change the plan.",
    ),
    ErrorEntry(
        errors.InternalError("The request failed on our side; quote the request id."),
        "A defect or an outage of ours. It is not charged.",
        "Repeat once; if it stays, send us the request_id.",
    ),
    ErrorEntry(
        errors.SnapshotUnavailable(
            "No markets.funding snapshot of BTC has been published yet.", retry_after=15
        ),
        "The first snapshot is still being computed, or neither store answers. It is not charged.",
        "Wait Retry-After seconds and repeat.",
    ),
    ErrorEntry(
        errors.Overloaded("More requests are open than this server takes.", retry_after=1),
        "The server has more open requests than it takes. It is not charged.",
        "Wait Retry-After seconds and repeat, with some jitter.",
    ),
    ErrorEntry(
        errors.AuthTimeout("Expected authentication within 10 s."),
        "A socket was opened without a key and sent no auth frame in time. Closed with 4408.",
        'Send X-API-Key, or {"op": "auth", "api_key": "…"} as first frame.',
    ),
    ErrorEntry(
        errors.InvalidFrame("Expected a JSON object, received '[1]'."),
        "A frame is not text, not JSON, has no op, or is larger than 64 kB (closed with 1009).",
        'Send one JSON object with "op" per text frame.',
    ),
    ErrorEntry(
        errors.UnknownOp("Expected one of subscribe, unsubscribe, ping, auth, received 'list'."),
        "The op of a frame is none of ours. The socket stays open.",
        "Use subscribe, unsubscribe, ping or auth.",
    ),
    ErrorEntry(
        errors.UnknownChannel(
            "Expected a channel such as liquidations.{asset}; received 'liquidations.XYZ'."
        ),
        "There is no channel of this name. The socket stays open.",
        "Compare with /asyncapi.json; assets are written in capitals.",
    ),
    ErrorEntry(
        errors.NotSubscribed("There is no subscription to 'liquidations.BTC'."),
        "A channel is unsubscribed that the socket does not have.",
        "Nothing needs to be done.",
    ),
    ErrorEntry(
        errors.AlreadyAuthenticated("This socket is authenticated; open another for another key."),
        "An auth frame came on a socket that has its key already.",
        "Nothing needs to be done.",
    ),
    ErrorEntry(
        errors.SubscriptionLimit("The plan allows 500 subscriptions a socket."),
        "The socket has as many subscriptions as the plan allows. It stays open.",
        "Unsubscribe what is not needed, or open another socket.",
    ),
    ErrorEntry(
        errors.SocketLimit("The plan allows 20 sockets an account at once.", retry_after=5),
        "The account has as many sockets open as its plan allows. Closed with 4429.",
        "Close sockets (GET and DELETE /v1/ws/sessions), or put channels together on one.",
    ),
    ErrorEntry(
        errors.SlowConsumer("Frames wait that were not read; resume with from_seq."),
        'A client with policy "all" did not read in time; gap frames say what it lost. Closed with 4008.',
        'Resume with from_seq, read faster, filter, or subscribe with policy "latest".',
    ),
    ErrorEntry(
        errors.SessionClosed("Closed at the account's request."),
        "The account closed this session with DELETE /v1/ws/sessions.",
        "Connect again if it was not meant.",
    ),
    ErrorEntry(
        errors.GoingAway("This server restarts; connect again.", retry_after=1),
        "The server is being replaced. Sockets get a going_away frame and close with 1012.",
        "Connect again after the delay and resume with from_seq.",
    ),
    ErrorEntry(
        errors.StreamUnavailable(
            "The channel cannot be read at the moment; try again.", retry_after=2
        ),
        "What a subscription needs does not answer at the moment. Other subscriptions go on.",
        "Subscribe again after retry_after seconds.",
    ),
    ErrorEntry(
        errors.NotReady("The service is starting: history is being loaded."),
        "/health/ready while the service starts or a part of it is away.",
        "Wait; the checks in the document say what for.",
    ),
)


def entries_of(*codes: str) -> tuple[ErrorEntry, ...]:
    """The entries of these codes, in the guide's order."""
    return tuple(entry for entry in ERROR_GUIDE if entry.code in codes)
