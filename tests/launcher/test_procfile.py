"""The Procfile: names, words, variables; nothing that hides a process behind a shell."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from focsal.launcher import procfile
from focsal.launcher.errors import LauncherError
from focsal.launcher.layout import PROJECT


def test_it_reads_names_and_words_in_order() -> None:
    text = "# comment\n\nweb: serve --port $PORT 'two words'\nworker-2: python manage.py work\n"
    assert procfile.parse(text, {"PORT": "8000"}) == {
        "web": ["serve", "--port", "8000", "two words"],
        "worker-2": ["python", "manage.py", "work"],
    }
    assert list(procfile.parse(text, {"PORT": "1"})) == ["web", "worker-2"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("$PORT", "9"),
        ("${PORT}", "9"),
        ("${PORT:-8000}", "9"),
        ("${NONE:-8000}", "8000"),
        ("${EMPTY:-x}", "x"),
        ("${NONE:-}", ""),
        ("a$PORT-b", "a9-b"),
        ("100%", "100%"),
    ],
)
def test_it_expands_variables_as_a_shell_would(word: str, expected: str) -> None:
    assert procfile.expand(word, {"PORT": "9", "EMPTY": ""}) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("web serve", "line 1: expected 'name: command'"),
        ("web: a\nweb: b", "line 2: web is there twice"),
        ("web: a && b", "'&&' needs a shell"),
        ("web: serve 'open", "No closing quotation"),
        ("web: serve $MISSING", "\\$MISSING is not set"),
        ("# nothing\n", "no process"),
    ],
)
def test_it_refuses_what_it_cannot_run(text: str, message: str) -> None:
    with pytest.raises(LauncherError, match=message):
        procfile.parse(text, {})


def test_the_project_procfile_has_the_processes() -> None:
    text = (PROJECT / "Procfile").read_text()
    programs = procfile.parse(text, {})
    assert set(programs) == {"web", "ingest", "worker", "beat", "sandbox", "stripe"}
    assert "--host 127.0.0.1 --port 8000" in shlex.join(programs["web"])
    assert programs["web"][1:3] == ["-m", "focsal.web"]
    assert Path(programs["ingest"][1]).name == "manage.py"
