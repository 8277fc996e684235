"""Liveness and readiness. Public and uncounted; what they say names parts, never hosts or secrets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import redis
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse

from apps.core import errors
from apps.core.jsonout import dumps
from apps.core.logs import get_logger
from apps.core.problems import CONTENT_TYPE, problem_document
from apps.core.redis import sync_redis

_log = get_logger(__name__)
_NO_STORE: Final = "no-store"
_RETRY_AFTER_S: Final = 2
# Set when this process was asked to stop: no new work should come to it.
draining: Final = threading.Event()
DATABASES: Final = ("default", "market")
_LIVE: Final = dumps({"status": "live"})


@dataclass(frozen=True, slots=True)
class CheckResult:
    """``status`` is ``ok`` or one word that says what is missing; ``extra`` joins the document."""

    status: str = "ok"
    detail: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_ok(self) -> bool:
        return self.status == "ok"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be in place before the platform can answer customers."""

    name: str
    run: Callable[[], CheckResult]


def live(_request: HttpRequest) -> HttpResponse:
    """The process answers; nothing else is asked."""
    return HttpResponse(
        _LIVE, content_type="application/json", headers={"Cache-Control": _NO_STORE}
    )


def check_draining() -> CheckResult:
    is_over = draining.is_set()
    return CheckResult("draining", "This process is being stopped.") if is_over else CheckResult()


def check_databases() -> CheckResult:
    for alias in DATABASES:
        try:
            with connections[alias].cursor() as cursor:
                cursor.execute("SELECT 1")
        except DatabaseError:
            # The driver's message names host and user: it goes to the log only.
            _log.warning("readiness_database_away", alias=alias, exc_info=True)
            return CheckResult("away", f"The {alias} database does not answer.")
    return CheckResult()


def check_redis() -> CheckResult:
    try:
        sync_redis().ping()
    except redis.RedisError:
        _log.warning("readiness_redis_away", exc_info=True)
        return CheckResult("away", "Redis does not answer.")
    return CheckResult()


class MigrationsCheck:
    """Every migration of this code is applied. Remembered once true: code does not change under us."""

    def __init__(self) -> None:
        self._applied = False

    def __call__(self) -> CheckResult:
        if self._applied:
            return CheckResult()
        try:
            missing = sum(_unapplied(alias) for alias in DATABASES)
        except DatabaseError:
            return CheckResult("unknown", "Migrations cannot be read.")
        if missing:
            return CheckResult("pending", f"{missing} migrations are not applied.")
        self._applied = True
        return CheckResult()


def _unapplied(alias: str) -> int:
    executor = MigrationExecutor(connections[alias])
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def readiness_view(checks: Sequence[Check]) -> Callable[[HttpRequest], HttpResponse]:
    """A view that runs ``checks``: 200 when all are ok, else a 503 problem with the same members."""

    def ready(request: HttpRequest) -> HttpResponse:
        results = {check.name: _run(check) for check in checks}
        members: dict[str, Any] = {
            "checks": {
                name: result.status if result.is_ok else f"{result.status}: {result.detail}"
                for name, result in results.items()
            }
        }
        for result in results.values():
            members.update(result.extra)
        failed = [name for name, result in results.items() if not result.is_ok]
        response = _not_ready(request, failed, members) if failed else _ready(members)
        response["Cache-Control"] = _NO_STORE
        # Not being ready yet is no error of the server; Django would log each poll as one.
        setattr(response, "_has_been_logged", True)  # noqa: B010 (not in Django's types)
        return response

    return ready


def _run(check: Check) -> CheckResult:
    """A check that breaks is a check that fails: readiness never answers 500."""
    try:
        return check.run()
    except Exception:
        _log.error("readiness_check_failed", check=check.name, exc_info=True)
        return CheckResult("failed", "The check could not be made.")


def _ready(members: dict[str, Any]) -> HttpResponse:
    return HttpResponse(dumps({"status": "ready", **members}), content_type="application/json")


def _not_ready(request: HttpRequest, failed: list[str], members: dict[str, Any]) -> HttpResponse:
    error = errors.NotReady(
        f"Waiting for: {', '.join(failed)}.", retry_after=_RETRY_AFTER_S, extra=members
    )
    document = problem_document(error, getattr(request, "request_id", ""))
    return HttpResponse(
        dumps(document),
        status=error.status,
        content_type=CONTENT_TYPE,
        headers={"Retry-After": str(_RETRY_AFTER_S)},
    )


CORE_CHECKS: Final = (
    Check("postgresql", check_databases),
    Check("redis", check_redis),
    Check("migrations", MigrationsCheck()),
)
