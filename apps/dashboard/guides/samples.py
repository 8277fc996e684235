"""Samples of a question in cURL, Python and JavaScript, made from one declaration, so that none is missing
and all say the same. Each is a whole program that reads the key from ``FOCSAL_KEY``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

ASSET: Final = "BTC"


@dataclass(frozen=True, slots=True)
class Sample:
    """``slug`` names the language in addresses and tests."""

    slug: str
    language: str
    code: str


def current_samples(url: str, reads: Sequence[str]) -> list[Sample]:
    """One asset now; the programs print the value at ``reads``."""
    return [
        Sample("curl", "cURL", _CURL.format(query=f"{url}?asset={ASSET}")),
        Sample(
            "python",
            "Python",
            _PYTHON.format(url=url, asset=ASSET, value=_subscripts("data", reads)),
        ),
        Sample(
            "javascript",
            "JavaScript",
            _JAVASCRIPT.format(query=f"{url}?asset={ASSET}", value=_members("data", reads)),
        ),
    ]


def history_samples(url: str, reads: Sequence[str], since: str, until: str) -> list[Sample]:
    """All rows of ``[since, until)``; the programs print ``ts`` and the value at ``reads`` of each."""
    query = f"{url}?asset={ASSET}&from={since}&to={until}"
    names = {"url": url, "asset": ASSET, "since": since, "until": until}
    return [
        Sample("curl", "cURL", _CURL.format(query=f"{query}&format=csv")),
        Sample("python", "Python", _PYTHON_PAGES.format(**names, value=_subscripts("row", reads))),
        Sample(
            "javascript",
            "JavaScript",
            _JAVASCRIPT_PAGES.format(**names, value=_members("row", reads)),
        ),
    ]


def _subscripts(name: str, path: Sequence[str]) -> str:
    return name + "".join(f'["{part}"]' for part in path)


def _members(name: str, path: Sequence[str]) -> str:
    is_word = re.compile(r"[a-z_]\w*").fullmatch
    return name + "".join(f".{part}" if is_word(part) else f'["{part}"]' for part in path)


_CURL: Final = """\
curl -H "X-API-Key: $FOCSAL_KEY" \\
  "{query}"
"""
_PYTHON: Final = """\
import os
import requests

answer = requests.get(
    "{url}",
    headers={{"X-API-Key": os.environ["FOCSAL_KEY"]}},
    params={{"asset": "{asset}"}},
)
answer.raise_for_status()
data = answer.json()
print({value})
"""
_JAVASCRIPT: Final = """\
const answer = await fetch("{query}", {{
  headers: {{"X-API-Key": process.env.FOCSAL_KEY}},
}});
if (!answer.ok) throw new Error(await answer.text());
const data = await answer.json();
console.log({value});
"""
_PYTHON_PAGES: Final = """\
import os
import requests

url = "{url}"
headers = {{"X-API-Key": os.environ["FOCSAL_KEY"]}}
params = {{"asset": "{asset}", "from": "{since}", "to": "{until}"}}
while True:
    answer = requests.get(url, headers=headers, params=params)
    answer.raise_for_status()
    page = answer.json()
    for row in page["data"]:
        print(row["ts"], {value})
    if page["next_cursor"] is None:
        break
    params["cursor"] = page["next_cursor"]
"""
_JAVASCRIPT_PAGES: Final = """\
const headers = {{"X-API-Key": process.env.FOCSAL_KEY}};
const params = new URLSearchParams({{asset: "{asset}", from: "{since}", to: "{until}"}});
for (;;) {{
  const answer = await fetch(`{url}?${{params}}`, {{headers}});
  if (!answer.ok) throw new Error(await answer.text());
  const page = await answer.json();
  for (const row of page.data) console.log(row.ts, {value});
  if (page.next_cursor === null) break;
  params.set("cursor", page.next_cursor);
}}
"""
