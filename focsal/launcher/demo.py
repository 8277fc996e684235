"""The demo accounts: what ``manage.py seed --demo`` made, and ``var/demo.json``."""

from __future__ import annotations

import json
from typing import Any

from focsal.launcher.errors import LauncherError

_SHAPE = {"keys": ("pro", "enterprise"), "login": ("email", "password")}


def seeded(output: str, remembered: dict[str, Any]) -> dict[str, Any]:
    """Keys and logins from the seed's last line; those it did not make anew are remembered."""
    lines = output.strip().splitlines()
    try:
        found = json.loads(lines[-1])
    except (IndexError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise LauncherError("manage.py seed --demo: expected a JSON object on its last line")
    merged = {part: _part(found.get(part), remembered.get(part)) for part in (*_SHAPE, "staff")}
    for part, names in _SHAPE.items():
        missing = [name for name in names if not merged[part].get(name)]
        if missing:
            raise LauncherError(f"manage.py seed --demo: {part} lacks {', '.join(missing)}")
    return {part: value for part, value in merged.items() if value}


def _part(new: object, old: object) -> dict[str, str]:
    known = dict(old) if isinstance(old, dict) else {}
    if isinstance(new, dict):
        known |= {name: text for name, text in new.items() if text}
    return known


def document(base_url: str, market: str, accounts: dict[str, Any]) -> dict[str, Any]:
    """The content of ``var/demo.json``."""
    scheme, _, rest = base_url.partition("://")
    socket_scheme = "wss" if scheme == "https" else "ws"
    content = {
        "base_url": base_url,
        "ws_url": f"{socket_scheme}://{rest}/v1/ws",
        "market": market,
        "keys": {name: accounts["keys"][name] for name in _SHAPE["keys"]},
        "login": {name: accounts["login"][name] for name in _SHAPE["login"]},
    }
    if accounts.get("staff"):
        content["staff"] = accounts["staff"]
    return content


def curl_line(base_url: str, key: str) -> str:
    return f'curl -H "X-API-Key: {key}" "{base_url}/v1/markets/funding?asset=BTC&aggregate=true"'
