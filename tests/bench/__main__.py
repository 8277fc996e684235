"""``python -m tests.bench [name …]``: every benchmark beside its peer, a table and var/bench.json.

Any module here with a function ``run`` is a benchmark. What could not be measured (recorded data missing, a
benchmark that failed) stands in the table as just that; a failure also sets the exit status.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import platform
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import django
import orjson

import tests.bench
from tests.bench.report import Row, rows_of, table


def discover() -> list[str]:
    """Names of the modules that define ``run``; the helpers among them do not."""
    names = sorted(info.name for info in pkgutil.iter_modules(tests.bench.__path__))
    return [name for name in names if _defines_run(name)]


def _defines_run(name: str) -> bool:
    if name == "__main__":
        return False
    source = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
    return "\ndef run(" in source


def run_one(name: str) -> dict[str, Any]:
    """The result of one benchmark, or its failure as a result."""
    started = time.perf_counter()
    try:
        result: dict[str, Any] = importlib.import_module(f"tests.bench.{name}").run()
    except Exception as error:
        traceback.print_exc()
        result = {"name": name, "note": f"failed: {error}", "failed": True}
    result["took_s"] = round(time.perf_counter() - started, 1)
    return result


def main(arguments: Sequence[str]) -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "focsal.settings")
    django.setup()
    from django.conf import settings

    names = list(arguments) or discover()
    results: dict[str, Any] = {}
    rows: list[Row] = []
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)
        results[name] = run_one(name)
        rows += rows_of(name, results[name])
    print(table(rows))
    report = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "rows": [{**asdict(row), "reached": row.verdict} for row in rows],
        "benchmarks": results,
    }
    target = settings.VAR_DIR / "bench.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))
    print(f"\nAll figures: {target}")
    return 1 if any(result.get("failed") for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
