"""Polish is complete, and the compiled catalogue is the one that was written."""

from __future__ import annotations

import re
from pathlib import Path

import polib

from focsal.settings.environment import BASE_DIR

CATALOGUE = Path(BASE_DIR) / "focsal" / "locale" / "pl" / "LC_MESSAGES" / "django.po"


def test_every_text_is_translated() -> None:
    catalogue = polib.pofile(str(CATALOGUE))
    assert [entry.msgid for entry in catalogue.untranslated_entries()] == []
    assert [entry.msgid for entry in catalogue.fuzzy_entries()] == []


def test_the_compiled_catalogue_is_current() -> None:
    written = {entry.msgid: entry.msgstr for entry in polib.pofile(str(CATALOGUE))}
    compiled = {e.msgid: e.msgstr for e in polib.mofile(str(CATALOGUE.with_suffix(".mo")))}
    assert compiled == written


def test_placeholders_survive_translation() -> None:
    for entry in polib.pofile(str(CATALOGUE)):
        for part in re.findall(r"%\(\w+\)s", entry.msgid + entry.msgstr):
            assert (part in entry.msgid) == (part in entry.msgstr), entry.msgid


def test_no_text_of_a_template_is_missing() -> None:
    known = {entry.msgid for entry in polib.pofile(str(CATALOGUE))}
    tag = re.compile(r"""{%\s*(?:translate|trans)\s+(["'])(.*?)\1""")
    for template in (Path(BASE_DIR) / "templates").rglob("*.html"):
        for _, text in tag.findall(template.read_text()):
            assert text in known, f"{template.name}: {text}"
