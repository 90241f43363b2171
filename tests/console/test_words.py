"""Korean and English: every text in both, the language chosen as people expect."""

from __future__ import annotations

import re
from string import Formatter

import pytest

from include.console.asking import TEMPLATES
from include.console.pages import pages
from include.console.words import Words, chosen, texts

USED = re.compile(r"""\bt\(\s*["']([a-z0-9_.]+)["']\s*[,)]""")


def test_every_text_exists_in_both_languages_with_the_same_blanks() -> None:
    for key, (korean, english) in texts().items():
        assert korean.strip() and english.strip(), key
        blanks = [{name for _, name, _, _ in Formatter().parse(text) if name} for text in (korean, english)]
        assert blanks[0] == blanks[1], key


def test_every_text_a_template_uses_is_there() -> None:
    used = {key for path in TEMPLATES.glob("*.html") for key in USED.findall(path.read_text())}
    assert used <= set(texts()), used - set(texts())
    assert {p.word for p in pages() if p.order is not None} <= set(texts())


@pytest.mark.parametrize(
    ("query", "cookie", "header", "language"),
    [
        ("en", "ko", "ko", "en"),
        (None, "en", "ko", "en"),
        ("xx", None, "en-GB,en;q=0.9,ko;q=0.8", "en"),
        (None, None, "fr, ko;q=0.5, en;q=0.7", "en"),
        (None, None, "", "ko"),
        (None, None, "fr;q=x, ;;;", "ko"),
    ],
)
def test_the_language_is_what_was_asked_then_chosen_then_preferred(
    query: str | None, cookie: str | None, header: str, language: str
) -> None:
    assert chosen(query, cookie, header) == language


def test_an_unknown_key_is_a_bug_and_an_unknown_code_is_shown() -> None:
    with pytest.raises(KeyError):
        Words("ko")("no.such.text")
    assert Words("en").code("something_new") == "something_new"
    assert Words("en").code("confirmed_absent") == "destroyed"
