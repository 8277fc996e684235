"""``celery worker --accounts N``: a second worker beside this one, for what concerns accounts alone.

Payments, letters, usage and webhooks have a queue and N threads of their own, so that none of them waits
until a refresh of the market has ended. The second worker is forked from the first, which has everything
loaded by then: a process of its own would load it all again, for two seconds of CPU and 140 MB.

Without ``--accounts`` a worker takes from both queues.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
from typing import Any, Final, NoReturn

import click
from celery import Celery, signals
from celery.utils.nodenames import host_format
from celery.worker import state

from focsal.launcher.child import follow_parent

_OPTIONS: Final = (
    "loglevel",
    "include",
    "quiet",
    "without_gossip",
    "without_mingle",
    "without_heartbeat",
)
_LAST_WORDS_S: Final = 30.0


class AccountsWorker:
    """The second worker, as the first one holds it."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._pid = 0
        self._watch = threading.Thread(target=self._wait, name="accounts-worker", daemon=True)
        self._is_ending = False
        # True in the second worker's own process.
        self.is_this = False

    def connect(self) -> None:
        option = click.Option(
            ("--accounts",),
            type=click.IntRange(min=0),
            default=0,
            help="Threads of a second worker for billing, letters, usage and webhooks.",
        )
        self._app.user_options["worker"].add(option)
        signals.celeryd_init.connect(self._start, weak=False, dispatch_uid="accounts.start")
        # The first has forked its own by then: threads and forks do not go well together.
        signals.worker_ready.connect(self._look, weak=False, dispatch_uid="accounts.look")
        signals.worker_shutting_down.connect(self._end, weak=False, dispatch_uid="accounts.end")
        signals.worker_shutdown.connect(self._join, weak=False, dispatch_uid="accounts.join")

    def _start(self, options: dict[str, Any] | None = None, **_: Any) -> None:
        """All modules are loaded, and nothing is connected yet."""
        given = options or {}
        threads = given.get("accounts") or 0
        if not threads:
            return
        # What both share stays shared.
        gc.freeze()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            self._run(threads, parent, {name: given[name] for name in _OPTIONS if name in given})
        self._app.amqp.queues.select([self._app.conf.task_default_queue])

    def _look(self, **_: Any) -> None:
        # Said again after each loss of the broker.
        if self._pid and self._watch.ident is None:
            self._watch.start()

    def _run(self, threads: int, parent: int, options: dict[str, Any]) -> NoReturn:
        self.is_this, code = True, os.EX_SOFTWARE
        try:
            follow_parent(signal.SIGTERM)
            if os.getppid() == parent:
                worker = self._app.Worker(
                    hostname=host_format("accounts@%h"),
                    pool_cls="threads",
                    concurrency=threads,
                    queues=[self._app.conf.accounts_queue],
                    **options,
                )
                worker.start()
                code = worker.exitcode or 0
        finally:
            os._exit(code)

    def _wait(self) -> None:
        os.waitpid(self._pid, 0)
        self._pid = 0
        if not self._is_ending:
            # Whoever watches this process starts both again.
            worker_state: Any = state
            worker_state.should_stop = os.EX_SOFTWARE

    def _end(self, **_: Any) -> None:
        self._is_ending = True
        if self._pid:
            os.kill(self._pid, signal.SIGTERM)

    def _join(self, **_: Any) -> None:
        self._end()
        if self._watch.is_alive():
            self._watch.join(_LAST_WORDS_S)
