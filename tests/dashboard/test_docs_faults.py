"""The page of test faults names every word that the header takes."""

from __future__ import annotations

import html

import pytest
from django.test import Client

from apps.core.testfaults.header import MOST, VENUES, WORDS, read


@pytest.mark.django_db
def test_every_word_is_on_the_page_and_works_as_shown() -> None:
    page = html.unescape(Client().get("/docs/test-faults/").content.decode())
    for word in WORDS:
        assert f"<code>{word.form}</code>" in page
        assert word.rest in page
        assert word.socket in page
        text = word.form.replace("<venue>", "okx").replace("<seconds>", "2")
        assert read(text, "test").applied == text
    assert all(f"<code>{venue}</code>" in page for venue in VENUES)
    assert f"Up to {MOST} words" in page
    assert 'X-Test-Fault: venue_down:binance, slow:2s"' in page
    assert 'href="/docs/test-faults/"' in page
