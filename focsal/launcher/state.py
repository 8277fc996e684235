"""What one installation remembers between starts: ``var/state.json`` (mode 0600)."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from focsal.launcher.errors import LauncherError


@dataclass(slots=True)
class State:
    """Secrets are made once, ports are kept while they stay free."""

    instance: str = field(default_factory=lambda: secrets.token_hex(8))
    secret_key: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    postgres_password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    redis_password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    supervisor_password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    ports: dict[str, int] = field(default_factory=dict)
    # Keys and login of the demo accounts: shown again at every start.
    demo: dict[str, Any] = field(default_factory=dict)


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` in one step by a file only its owner can read."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
    draft.replace(path)


def load(path: Path) -> tuple[State, bool]:
    """The state and whether it is new."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return State(), True
    try:
        stored = json.loads(text)
        known = {item.name for item in fields(State)}
        return State(**{name: value for name, value in stored.items() if name in known}), False
    except (ValueError, AttributeError, TypeError) as error:
        raise LauncherError(
            f"{path} is damaged ({error}); remove the whole folder {path.parent} to start afresh"
        ) from None


def save(path: Path, state: State) -> None:
    write_private(path, json.dumps(asdict(state), indent=2) + "\n")
