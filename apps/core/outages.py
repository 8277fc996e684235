"""What goes on failing is told when it begins, once a minute while it lasts, and when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from structlog.stdlib import BoundLogger

AGAIN_S: Final = 60.0


class Outage:
    """Of one thing that a loop tries again and again; ``event`` is its name in the log.

    Lines after the first carry how often it has ``failures`` and for how many ``seconds`` it lasts.
    """

    def __init__(
        self,
        log: BoundLogger,
        event: str,
        *,
        now_s: Callable[[], float] = time.monotonic,
        **facts: Any,
    ) -> None:
        self._log = log
        self._event = event
        self._now_s = now_s
        self._facts = facts
        self._failures = 0
        self._since_s = self._told_s = 0.0

    @property
    def is_on(self) -> bool:
        return self._failures > 0

    def failed(self, error: Exception, **facts: Any) -> None:
        now_s = self._now_s()
        self._failures += 1
        if self._failures == 1:
            self._since_s = self._told_s = now_s
        elif now_s - self._told_s < AGAIN_S:
            return
        else:
            self._told_s = now_s
            facts |= self._length(now_s)
        reason = str(error) or type(error).__name__
        self._log.warning(
            self._event, error=type(error).__name__, reason=reason, **self._facts, **facts
        )

    def over(self) -> None:
        """It works; told when it did not before."""
        if self._failures:
            self._log.info(f"{self._event}_over", **self._facts, **self._length(self._now_s()))
            self._failures = 0

    def _length(self, now_s: float) -> dict[str, Any]:
        return {"failures": self._failures, "seconds": round(now_s - self._since_s)}
