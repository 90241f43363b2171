"""Every text of the pages in Korean and English: each file here holds `TEXTS = {key: (Korean, English)}`.

A key in two files, or a file without one of the languages, stops the import.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from dataclasses import dataclass
from functools import cache

from include.evidence.words import MEASURES, WORDS

LANGUAGES = ("ko", "en")
HANGUL = re.compile("[가-힣]")


@cache
def texts() -> dict[str, tuple[str, str]]:
    """Return all texts by key."""
    found: dict[str, tuple[str, str]] = {}
    for module in pkgutil.iter_modules(__path__):
        for key, pair in importlib.import_module(f"{__name__}.{module.name}").TEXTS.items():
            if key in found or len(pair) != len(LANGUAGES) or not all(pair):
                raise ValueError(f"words/{module.name}.py: {key!r} is there already, or lacks a language")
            found[key] = pair
    return found


@dataclass(frozen=True, slots=True)
class Words:
    """One language's texts: `words("nav.night")`, `words.code("confirmed_absent")`."""

    language: str

    def __call__(self, key: str, **values: object) -> str:
        """Return a text, its `{names}` filled in; an unknown key is a bug and raises."""
        text = texts()[key][LANGUAGES.index(self.language)]
        return text.format(**values) if values else text

    def code(self, code: str | None) -> str:
        """Return what a code of the evidence is called, or the code itself."""
        if not code:
            return ""
        pair = texts().get(f"code.{code}") or WORDS.get(code) or MEASURES.get(code)
        return pair[LANGUAGES.index(self.language)] if pair else code

    def half(self, title: str) -> str:
        """Return this language's half of a bilingual title, `한글 · English` or `English · 한글`."""
        first, separator, second = title.partition(" · ")
        if separator and HANGUL.search(second) and not HANGUL.search(first):
            first, second = second, first
        return first if self.language == "ko" or not separator else second


def chosen(query: str | None, cookie: str | None, header: str) -> str:
    """Return the language: what was asked for, else what was chosen before, else what the browser prefers first."""
    for wanted in (query, cookie):
        if wanted in LANGUAGES:
            return str(wanted)
    preferred = []
    for position, part in enumerate(header.split(",")[:10]):
        name, _, quality = part.partition(";q=")
        try:
            weight = float(quality or 1)
        except ValueError:
            weight = 0.0
        preferred.append((-weight, position, name.strip().lower()[:2]))
    for _, _, name in sorted(preferred):
        if name in LANGUAGES:
            return name
    return LANGUAGES[0]
