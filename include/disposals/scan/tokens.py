"""From text to what may name a person in it: the same normal forms for what is looked for and for where it is looked.

    needles(Kind.PHONE, "+82 10-1234-5678")     # {"phone:821012345678"}
    set(tokens("call 010.1234.5678 back"))      # {…, ("phone", "821012345678"), …}

Pure, and blind to who is looked for: a needle matches when one of its normal forms is a token of the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import unquote


class Kind(StrEnum):
    """What a needle is."""

    EMAIL = "email"
    NAME = "name"
    PHONE = "phone"
    LOGIN = "login"
    OBJECT = "object"


FIRST = "first"
"""Of a name of several words the first one is stored too, so that text need not be cut into every group of words."""

MAX_WORDS = 5
SHORTEST_NUMBER = 9
_EMAIL = re.compile(r"[^\s@<>\"'(),;:\[\]\\{}|=&?/%]+@[^\s@<>\"'(),;:\[\]\\{}|=&?/%]+\.[^\W\d_]{2,}")
_WORD = re.compile(r"[^\W_]+")
_ID = re.compile(r"[A-Za-z0-9_-]{6,64}")
_ID_IN_TEXT = re.compile(r"(?<![A-Za-z0-9_-])(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{6,}")
_LOGIN = re.compile(r"[^\W_][\w.+-]{4,62}[^\W_]")
_DIGITS = re.compile(r"(?<![0-9A-Za-z])\+?\(?\d{1,15}\)?(?:[-. /()]{1,2}\d{1,14}\)?){0,7}(?![0-9A-Za-z])")
_GROUP = re.compile(r"\d+")
_DATE = re.compile(r"\d{4}-\d\d(-\d\d.*)?")
_ESCAPED = re.compile(r"\\+u([0-9a-fA-F]{4})")
_CONTROL = re.compile(r"\\+[nrtbf\"/]")
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")


def needles(kind: Kind, value: str) -> set[tuple[str, str]]:
    """Return the normal forms of one value of a person; empty where it is too common a word to be looked for."""
    return _FORMS[kind](_plain(value))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _email(value: str) -> set[tuple[str, str]]:
    return {("email", found) for found in _EMAIL.findall(value.casefold())}


def _phone(value: str) -> set[tuple[str, str]]:
    number = _international("".join(_GROUP.findall(value)))
    return {("phone", number)} if number else set()


def _international(digits: str) -> str:
    """Return a number's digits with the country code; a Korean one may lack it. Empty: no telephone number."""
    digits = digits.removeprefix("00") if digits.startswith("00") else digits
    if digits.startswith("820"):
        digits = "82" + digits[3:]
    elif digits.startswith("0"):
        digits = "82" + digits[1:]
    return digits if SHORTEST_NUMBER <= len(digits) <= 15 else ""


def _login(value: str) -> set[tuple[str, str]]:
    """A login of letters alone could be any word of a log."""
    folded = value.casefold()
    if "@" in folded:
        return _email(folded)
    return {("login", folded)} if _LOGIN.fullmatch(folded) and any(c.isdigit() for c in folded) else set()


def _object(value: str) -> set[tuple[str, str]]:
    """A processor's id: letters with digits, or at least nine digits; shorter ones are numbers like any other."""
    if not _ID.fullmatch(value) or _DATE.fullmatch(value) or not any(c.isdigit() for c in value):
        return set()
    if len(value) < (9 if value.isdigit() else 8):
        return set()
    return {("object", _short(value))}


def _short(value: str) -> str:
    """Return Salesforce's 18 characters as the 15 that identify; anything else as it is."""
    return value[:15] if len(value) == 18 and value.isalnum() else value


def _name(value: str) -> set[tuple[str, str]]:
    """A name of several words, or one that is written together in Korean, Chinese or Japanese characters."""
    words = _WORD.findall(value.casefold())
    joined = "".join(words)
    if words and all(_WIDE.match(w) for w in words):
        return {("name", joined)} if len(joined) >= 2 else set()
    if 2 <= len(words) <= MAX_WORDS:
        orders = {tuple(words), (*words[1:], words[0]), (words[-1], *words[:-1])}
        return {("name", " ".join(o)) for o in orders} | {(FIRST, o[0]) for o in orders}
    # One word in Latin letters is a name and a word of a log alike, unless it is long or holds a digit.
    return {("name", joined)} if len(joined) >= 8 or (any(c.isdigit() for c in joined) and len(joined) >= 5) else set()


_FORMS: dict[Kind, Callable[[str], set[tuple[str, str]]]] = {
    Kind.EMAIL: _email,
    Kind.NAME: _name,
    Kind.PHONE: _phone,
    Kind.LOGIN: _login,
    Kind.OBJECT: _object,
}
_NAMED = {"name": Kind.NAME, "phones": Kind.PHONE, "login_id": Kind.LOGIN, "emails": Kind.EMAIL}


NOBODYS = frozenset({"box", "boxes", "complaints_at", "location", "end_user", "person"})
"""Keys of locators whose values may stand elsewhere: a box in its order, a moment, and, as an account's, an end user's
opaque id in the form of the run that erases it."""


def of_locator(body: Mapping[str, Any], *, not_these: frozenset[str] = frozenset()) -> Iterator[tuple[Kind, str]]:
    """Yield what a locator or a set of search keys holds of its person, by kind; `not_these` are account ids."""
    stack: list[tuple[str, Any]] = [("", body)]
    while stack:
        under, value = stack.pop()
        if isinstance(value, Mapping):
            stack += [(under or str(k), v) for k, v in value.items() if k not in NOBODYS]
            stack += [("", k) for k in value]
        elif isinstance(value, list | tuple):
            stack += [(under, v) for v in value]
        elif isinstance(value, str | int) and not isinstance(value, bool) and str(value) not in not_these:
            text = str(value)
            yield _NAMED.get(under, Kind.EMAIL if "@" in text else Kind.OBJECT), text


# -- the other side: what stands in a text --------------------------------------------------------------------------
def tokens(text: str, starts: Callable[[str], bool] = lambda _word: True) -> Iterator[tuple[str, str]]:
    """Yield every normal form a needle of any kind could have in `text`, repeatedly where it stands repeatedly.

    `starts` says whether a word begins a name that is looked for; only from there groups of words are made.
    """
    for view in views(text):
        folded = view.casefold()
        if "@" in folded:
            yield from (("email", m) for m in _EMAIL.findall(folded))
        yield from _id_tokens(view)
        yield from _phone_tokens(view)
        yield from _login_tokens(folded)
        yield from _name_tokens(folded, starts)


def views(text: str) -> set[str]:
    """Return the text, and what it says where it is JSON in a string, a URL, or both."""
    plain = _plain(text)
    found = {plain}
    if "\\" in plain:
        opened = _ESCAPED.sub(lambda m: chr(int(m[1], 16)), plain)
        found.add(_plain(_CONTROL.sub(" ", opened)))
    if "%" in plain:
        found |= {_plain(unquote(v, errors="replace")) for v in found}
    return found


def _login_tokens(folded: str) -> Iterator[tuple[str, str]]:
    """Yield each word, and what stands before each of its dots: `login0193.log` is a file of `login0193`."""
    for found in _LOGIN.findall(folded):
        while found:
            yield "login", found
            found = found.rpartition(".")[0]


def _id_tokens(view: str) -> Iterator[tuple[str, str]]:
    for found in _ID_IN_TEXT.findall(view):
        yield "object", _short(found)
        for mark in "-_":
            if mark in found:
                yield from (("object", _short(part)) for part in found.split(mark) if len(part) >= 8)


def _phone_tokens(view: str) -> Iterator[tuple[str, str]]:
    """Yield every run of neighbouring groups of digits that has a number's length."""
    for found in _DIGITS.findall(view):
        if len(found) < SHORTEST_NUMBER:
            continue
        groups = _GROUP.findall(found)
        for start in range(len(groups)):
            digits = ""
            for group in groups[start:]:
                digits += group
                if len(digits) > 17:
                    break
                if len(digits) >= SHORTEST_NUMBER - 1 and (number := _international(digits)):
                    yield "phone", number


def _name_tokens(folded: str, starts: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    words = _WORD.findall(folded)
    for n, word in enumerate(words):
        if _WIDE.match(word):
            # 김민수님, 김민수의: what is glued to a name is not part of it.
            yield from (("name", word[:end]) for end in range(2 if len(word) == 2 else 3, min(len(word), 12) + 1))
            if len(word) <= 2 and n + 1 < len(words) and _WIDE.match(words[n + 1]):
                following = words[n + 1]
                yield from (("name", word + following[:end]) for end in range(1, min(len(following), 6) + 1))
        else:
            if len(word) >= 5:
                yield "name", word
            if starts(word):
                yield from (("name", " ".join(words[n : n + size])) for size in range(2, MAX_WORDS + 1))
