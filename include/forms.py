"""What a run was started with, looked at before anything else: whatever is typed into a form stays in Airflow.

Airflow checks a value against its field's schema and takes any key besides. A schema's `$` also matches before a line
feed, and nothing there refuses full-width digits or a mark that turns the writing direction. Here every key is one of
the form's, and every text plain ASCII on one line without an `@`: no form has a field for anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

from include.errors import DecisionRefused

LONGEST = 200
"""Characters; the longest value of a form is a subject tag of 64."""


NO_PERSON = (
    "(?!([+]?82-?0?|0)[0-9]{1,2}-?[0-9]{3,4}-?[0-9]{4}$)(?![0-9]{3}-?[0-9]{2}-?[0-9]{5}$)(?![0-9]{6}-?[0-9]{7}$)"
)
"""Begins a pattern that takes no telephone (also not with Korea's country code), business or resident registration
number: what is typed into a form stays in Airflow's database."""


ACCOUNT = r"^(?!0[0-9]{8,10}$|8210[0-9]{8}$)(?![0-9]+(-[0-9]+)+$)(?=[A-Za-z_-]*[0-9])[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
"""An internal id holds a digit and no dot, blank or @; nothing shaped like a telephone or business number passes."""


def check(conf: Mapping[str, Any] | None, known: Iterable[str]) -> None:
    """Raise `DecisionRefused` for a key the form does not have, or a value no form asks for.

    Neither an unknown key nor any value is repeated: it may be a person's.
    """
    given = dict(conf or {})
    unknown = len(set(given) - set(known))
    if unknown:
        raise DecisionRefused(
            f"The run was started with {unknown} keys that its form does not have. Nothing was done. Start it "
            "with the form's fields only, and delete this run: what was typed there stays in Airflow until then."
        )
    for name, value in given.items():
        if not all(_is_plain(text) for text in _texts(value)):
            raise DecisionRefused(
                f"{name}: holds what no field of the form asks for (letters beyond A-Z, an @, a line break, or more "
                f"than {LONGEST} characters). Nothing was done. Delete this run: it stays in Airflow until then."
            )


def day(name: str, value: object) -> date:
    """Return a date written YYYY-MM-DD, or raise `DecisionRefused`; a week or a date without hyphens is none."""
    text = str(value)
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.isoformat() != text:
        raise DecisionRefused(f"{name}: not a date YYYY-MM-DD. Nothing was done; start it again with one.")
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inside in value.items():
            yield from (*_texts(key), *_texts(inside))
    elif isinstance(value, list | tuple):
        for inside in value:
            yield from _texts(inside)
    elif isinstance(value, str):
        yield value


def _is_plain(text: str) -> bool:
    return len(text) <= LONGEST and text.isascii() and text.isprintable() and "@" not in text
