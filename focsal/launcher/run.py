"""``make run``: everything on this machine, from nothing to ``FOCSAL ready`` and back."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from focsal.launcher import (
    demo,
    embedded,
    environment,
    leftovers,
    ports,
    postgres,
    procfile,
    readiness,
    redis_server,
    state,
    steps,
)
from focsal.launcher.console import StopSignal, say
from focsal.launcher.control import Supervisor
from focsal.launcher.errors import LauncherError
from focsal.launcher.layout import PROJECT, Folders
from focsal.launcher.programs import MARKER, Program
from focsal.launcher.supervisor import GRACE_S
from focsal.launcher.watch import Watch, fail_if_flapping, wait_until
from focsal.shell import file_of, keep

_SERVER_TIMEOUT_S: Final = 90.0
_LATER: Final = ("stripe",)
_HEAD_START_S: Final = 12.0


def run(stop: StopSignal, project: Path = PROJECT, given: Mapping[str, str] = os.environ) -> int:
    """Start, watch until Ctrl-C, stop in order; the process's exit code."""
    folders = Folders.of(project)
    folders.create()
    with _only_one(folders):
        installation = _Installation(folders, dict(given), stop)
        try:
            installation.start()
            installation.watch()
        finally:
            stop.begin_stopping()
            installation.stop()
    return 0


@contextlib.contextmanager
def _only_one(folders: Folders) -> Iterator[None]:
    """Hold ``var/run/lock`` as long as this process lives, however it ends."""
    with (folders.runtime / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise LauncherError(
                f"already running from {folders.project} (pid {lock.read().strip()}); "
                "stop it with Ctrl-C first. A second one needs a clone of its own"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


class _Installation:
    """One run of FOCSAL on one machine."""

    def __init__(self, folders: Folders, given: dict[str, str], stop: StopSignal) -> None:
        self._folders = folders
        self._given = given
        self._stop = stop
        self._market = environment.market_of(given)
        self._port = environment.web_port(given)
        self._host = environment.bind_host(given)
        self._state, self._state_is_new = state.load(folders.state_file)
        self._supervisor: Supervisor | None = None
        self._watch = Watch()
        self._began = time.monotonic()

    def start(self) -> None:
        self._end_leftovers()
        ports.require_free(self._port, self._host)
        servers = embedded.lasting(
            self._folders.project, self._given, self._state, state_is_new=self._state_is_new
        )
        variables = self._environment(servers)
        programs = self._programs(variables)
        self._save()
        # A command that is typed beside us is none of our processes.
        keep({n: v for n, v in variables.items() if n != MARKER}, file_of(self._folders.project))
        self._stop.check()
        supervisor = Supervisor(
            [*servers.programs(), *programs],
            logs=self._folders.logs,
            runtime=self._folders.runtime,
            password=self._state.supervisor_password,
            environment=variables,
        )
        self._supervisor = supervisor
        supervisor.start()
        # The emulator needs no database: it gets ready while these migrate.
        supervisor.launch(*(program.name for program in programs if program.name == "sandbox"))
        self._start_servers(supervisor, servers, variables)
        accounts = self._prepare_databases(variables)
        self._start_processes(supervisor, [program.name for program in programs])
        self._wait_ready(supervisor)
        self._announce(accounts)

    def watch(self) -> None:
        """Report deaths and restarts until a stop is asked for."""
        supervisor, watch = self._supervisor, Watch()
        if supervisor is None:
            return
        watch.changes(supervisor.processes())
        while not self._stop.wait(1.0):
            processes = supervisor.processes()
            for line in watch.changes(processes):
                say(line)
            for name in watch.due_again(processes, time.monotonic()):
                say(
                    f"FOCSAL: {name} does not stay up, trying again; log: {supervisor.log_of(name)}"
                )
                supervisor.launch(name)

    def stop(self) -> None:
        if self._supervisor is not None:
            self._supervisor.stop(say)
            say("FOCSAL: stopped, nothing left running")

    def _end_leftovers(self) -> None:
        """After a launcher killed with -9 its supervisor stops in order: give it the time."""
        left = leftovers.marked(self._state.instance)
        if not left:
            return
        say(f"FOCSAL: an earlier run was cut off; waiting for its {len(left)} processes to stop")
        deadline = time.monotonic() + 3 * GRACE_S
        stopping = any("supervisor" in " ".join(leftovers.command(process)) for process in left)
        while stopping and time.monotonic() < deadline:
            self._stop.wait(0.2)
            self._stop.check()
            stopping = bool(leftovers.marked(self._state.instance))
        leftovers.end(leftovers.marked(self._state.instance), grace_s=10)

    def _environment(self, servers: embedded.EmbeddedServers) -> dict[str, str]:
        where = environment.addresses(self._given, self._market, servers.addresses())
        block = environment.SANDBOX_BLOCK
        variables = environment.common(
            self._given,
            project=self._folders.project,
            kind="development",
            market=self._market,
            where=where,
            instance=self._state.instance,
            secret_key=self._state.secret_key,
            sandbox_port=embedded.keep_port(self._state, "sandbox", block),
        )
        return variables | {
            "HOST": self._host,
            "PORT": str(self._port),
            "FOCSAL_BASE_URL": self._given.get("FOCSAL_BASE_URL", "") or self._base_url,
            "FOCSAL_STRIPE_PORT": str(embedded.keep_port(self._state, "stripe")),
        }

    @property
    def _base_url(self) -> str:
        return f"http://{environment.reachable_host(self._host)}:{self._port}"

    def _programs(self, variables: Mapping[str, str]) -> list[Program]:
        text = (self._folders.project / "Procfile").read_text(encoding="utf-8")
        programs = []
        for name, argv in procfile.parse(text, variables).items():
            if name == "sandbox" and self._market == "live":
                continue
            if name == "stripe" and self._given.get("STRIPE_SECRET_KEY"):
                # The real one is asked instead of the double.
                continue
            program = shutil.which(argv[0], path=variables["PATH"])
            if program is None:
                raise LauncherError(f"Procfile: {name} needs {argv[0]!r}, which is not installed")
            own = {
                "FOCSAL_PROCESS": name,
                "FOCSAL_METRICS_PORT": str(embedded.keep_port(self._state, f"metrics-{name}")),
            }
            programs.append(Program(name, [program, *argv[1:]], self._folders.project, own))
        return programs

    def _save(self) -> None:
        state.save(self._folders.state_file, self._state)

    def _start_servers(
        self,
        supervisor: Supervisor,
        servers: embedded.EmbeddedServers,
        variables: Mapping[str, str],
    ) -> None:
        say("FOCSAL: starting PostgreSQL and Redis")
        supervisor.launch(*(program.name for program in servers.programs()))
        if servers.postgres is not None:
            url = servers.postgres.url("postgres")
            self._until(supervisor, lambda: postgres.answers(url), "PostgreSQL")
        redis_url = variables["REDIS_URL"]
        self._until(supervisor, lambda: redis_server.answers(redis_url), "Redis")

    def _until(self, supervisor: Supervisor, ready: Callable[[], bool], what: str) -> None:
        wait_until(ready, what, supervisor, self._watch, self._stop, _SERVER_TIMEOUT_S)

    def _prepare_databases(self, variables: Mapping[str, str]) -> dict[str, Any]:
        """Create and migrate both databases, seed plans and (not on live) demo accounts."""
        say("FOCSAL: migrating the databases")
        for name in ("DATABASE_URL", "MARKET_DATABASE_URL"):
            postgres.ensure_database(variables[name])
        seed = "plans" if self._market == "live" else "demo"
        output = steps.databases(seed, self._folders.project, variables, self._stop)
        if self._market == "live":
            return {}
        self._state.demo = demo.seeded(output, self._known_demo())
        self._save()
        # Written again when ready: who waits for this file waits for a platform that answers.
        self._folders.demo_file.unlink(missing_ok=True)
        return self._state.demo

    def _known_demo(self) -> dict[str, Any]:
        """Keys shown before. Without demo.json the seed makes new ones, as promised."""
        return self._state.demo if self._folders.demo_file.exists() else {}

    def _start_processes(self, supervisor: Supervisor, names: list[str]) -> None:
        say(f"FOCSAL: starting {', '.join(names)}")
        if "sandbox" in names:
            port = self._state.ports["sandbox"]
            self._until(supervisor, lambda: ports.listens(port), "the sandbox")
        first = [name for name in names if name not in ("sandbox", *_LATER)]
        supervisor.launch(*first)
        # Cores are busy with what a first answer needs.
        host = environment.reachable_host(self._host)
        deadline = time.monotonic() + _HEAD_START_S
        while time.monotonic() < deadline and not readiness.ask(host, self._port).has_venues:
            self._stop.wait(0.2)
            self._stop.check()
        supervisor.launch(*(name for name in names if name in _LATER))

    def _wait_ready(self, supervisor: Supervisor) -> None:
        host = environment.reachable_host(self._host)
        readiness.wait(
            host, self._port, lambda: fail_if_flapping(supervisor, self._watch), self._stop
        )

    def _announce(self, accounts: dict[str, Any]) -> None:
        base_url = self._base_url
        took = time.monotonic() - self._began
        if not accounts:
            say("No demo accounts on the live market: make a key with `manage.py create_key`.")
            say(f"FOCSAL ready: {base_url} (market {self._market}, {took:.0f} s); Ctrl-C stops it")
            return
        content = demo.document(base_url, self._market, accounts)
        state.write_private(self._folders.demo_file, json.dumps(content, indent=2) + "\n")
        keys, login = content["keys"], content["login"]
        say("")
        say(
            f"  Address          {base_url}   docs {base_url}/docs/   WebSocket {content['ws_url']}"
        )
        say(f"  Pro key          {keys['pro']}")
        say(f"  Enterprise key   {keys['enterprise']}")
        say(f"  Dashboard login  {login['email']}  {login['password']}")
        if staff := content.get("staff"):
            say(f"  Staff (/admin/)  {staff['email']}  {staff['password']}")
        say(f"  Try              {demo.curl_line(base_url, keys['pro'])}")
        say("")
        say(f"FOCSAL ready: {base_url} (market {self._market}, {took:.0f} s); Ctrl-C stops it")
