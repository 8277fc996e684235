"""Commands typed beside ``make run`` belong to the deployment that it started.

``make run`` writes the variables of its processes to ``var/run/environment.json`` (readable by its owner
alone). ``manage.py`` takes them over in a shell that names no deployment itself. Nothing here knows Django.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[1]
_NAMES_A_DEPLOYMENT: Final = ("FOCSAL_ENV", "SECRET_KEY", "DATABASE_URL", "FOCSAL_MARKET")
_KEPT: Final = ("FOCSAL_", "SECRET_KEY", "DATABASE_URL", "MARKET_DATABASE_URL", "REDIS_", "STRIPE_")
_STANDS_ALONE: Final = frozenset({"sandbox"})
"""Commands that need no deployment at all."""


def file_of(project: Path = PROJECT) -> Path:
    return project / "var" / "run" / "environment.json"


def keep(variables: Mapping[str, str], file: Path) -> None:
    """Write down what a shell needs to meet these processes."""
    kept = {name: text for name, text in sorted(variables.items()) if name.startswith(_KEPT)}
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        json.dump(kept, out, indent=1)


def adopt(
    environ: MutableMapping[str, str], arguments: Sequence[str], project: Path = PROJECT
) -> None:
    """Complete ``environ`` for a command, unless it names a deployment already."""
    if any(environ.get(name) for name in _NAMES_A_DEPLOYMENT):
        return
    for name, text in _kept(file_of(project)).items():
        environ.setdefault(name, text)
    if not environ.get("FOCSAL_ENV") and arguments[:1] and arguments[0] in _STANDS_ALONE:
        environ["FOCSAL_ENV"] = "development"


def _kept(file: Path) -> dict[str, str]:
    """Empty where nothing was ever started here, or it was by somebody else."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(text) for name, text in found.items()} if isinstance(found, dict) else {}
