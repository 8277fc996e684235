"""``manage.py sandbox``: the venue emulator of two markets, and orders to a running one."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.marketdata.universe import ASSETS
from apps.sandbox.config import SandboxConfig
from apps.sandbox.control import TOKEN_HEADER
from apps.sandbox.faces.registry import urls
from apps.sandbox.fault_catalog import FAULTS
from apps.sandbox.market.scenarios import ScenarioKind
from apps.sandbox.replay.catalog import RecordingError
from apps.sandbox.server import run

_TIMEOUT_S = 10.0


def token_file(port: int) -> Path:
    """Where the emulator on ``port`` leaves its token."""
    return Path(settings.VAR_DIR) / f"sandbox-{port}.token"


def sandbox_config(rate: float | None = None) -> SandboxConfig:
    """The emulator's configuration from the settings."""
    return SandboxConfig(
        mode="replay" if settings.MARKET == "replay" else "sandbox",
        host=settings.SANDBOX_HOST,
        port=settings.SANDBOX_PORT,
        seed=settings.SANDBOX_SEED,
        captures=settings.CAPTURES_DIR,
        recordings=tuple(settings.REPLAY_RECORDINGS),
        speed=settings.REPLAY_SPEED,
        clock=settings.REPLAY_CLOCK,
        end=settings.REPLAY_END,
        assets=tuple(settings.SANDBOX_ASSETS) or None,
        rate=settings.SANDBOX_RATE if rate is None else rate,
        token_file=token_file(settings.SANDBOX_PORT),
    )


class Command(BaseCommand):
    help = (
        "Emulate the venues on loopback: a market model, or recordings (FOCSAL_MARKET=replay). "
        "With an order: tell it to the emulator that is running."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--print-urls", action="store_true", help="print the venues' addresses as JSON and exit"
        )
        parser.add_argument(
            "--rate",
            type=float,
            help="so many times the usual trades and book updates",
        )
        orders = parser.add_subparsers(
            dest="order", metavar="scenario | fault | faults | scenarios"
        )
        scenario = orders.add_parser("scenario", help="start a scripted situation")
        scenario.add_argument("kind", choices=[one.value for one in ScenarioKind])
        scenario.add_argument("--asset", action="append", dest="assets", metavar="BTC")
        scenario.add_argument("--in", type=float, metavar="S", help="begin in so many seconds")
        scenario.add_argument("--seconds", type=float, help="how long it lasts (300)")
        scenario.add_argument("--strength", type=float, help="1 is its plain form")
        fault = orders.add_parser("fault", help="cause a fault")
        names = fault.add_subparsers(dest="fault", required=True, metavar="NAME")
        for spec in FAULTS.values():
            one = names.add_parser(spec.name, help=spec.help)
            for param in spec.params:
                one.add_argument(f"--{param.name}", required=param.default is None, help=param.help)
        faults = orders.add_parser("faults", help="list the faults in force")
        faults.add_argument("--clear", action="store_true", help="end them all")
        orders.add_parser("scenarios", help="list the scenarios started so far")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["print_urls"]:
            self.stdout.write(json.dumps(urls(settings.SANDBOX_HOST, settings.SANDBOX_PORT)))
            return
        if settings.MARKET == "live":
            raise CommandError(
                "FOCSAL_MARKET=live talks to the real venues: there is no emulator to run"
            )
        if options["order"] is not None:
            self.stdout.write(json.dumps(_obey(options)))
            return
        config = sandbox_config(options["rate"])
        if not 0.01 <= config.rate <= 100.0:
            raise CommandError(f"--rate: expected 0.01 to 100, got {config.rate:g}")
        unknown = sorted(set(config.assets or ()) - set(ASSETS))
        if unknown:
            raise CommandError(f"FOCSAL_SANDBOX_ASSETS: {unknown[0]} is not covered")
        try:
            run(config)
        except RecordingError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"cannot listen on {config.host}:{config.port}: {error}") from error


def _obey(options: dict[str, Any]) -> Any:
    match options["order"]:
        case "scenario":
            names = ("kind", "assets", "in", "seconds", "strength")
            return _ask("/scenarios", {name: options[name] for name in names})
        case "fault":
            spec = FAULTS[options["fault"]]
            given = {one.name: options[one.name] for one in spec.params}
            return _ask("/faults", {"fault": spec.name, **given})
        case "faults" if options["clear"]:
            return _ask("/faults", {"fault": "clear"})
        case order:
            return _ask(f"/{order}", None)


def _ask(path: str, command: dict[str, Any] | None) -> Any:
    """The control face's answer; ``command`` None only reads."""
    port = settings.SANDBOX_PORT
    headers, body = {}, None
    if command is not None:
        try:
            headers[TOKEN_HEADER] = token_file(port).read_text()
        except OSError as error:
            raise CommandError(f"no emulator's token: is one running? ({error})") from error
        body = json.dumps({k: v for k, v in command.items() if v is not None}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise CommandError(json.load(error).get("error", str(error))) from error
    except OSError as error:
        raise CommandError(f"the emulator does not answer on port {port}: {error}") from error
