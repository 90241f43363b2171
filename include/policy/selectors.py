"""How complaints and disputes are recognised where they lie among other tickets: a decision of policy, never a guess.

Without it nobody could tell which tickets the three-year rule keeps (e-commerce Act, art. 6), and they would be
destroyed unkept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from include.policy.models import ScheduleFile

Problem = tuple[tuple[str | int, ...], str]

KEY = "complaint_selector"
TICKET_SYSTEMS = frozenset({"zendesk"})
RECOGNISED_BY: dict[str, type] = {"tags": str, "forms": int, "types": str}
MORE: dict[str, type] = {"dispute_tags": str, "unclear_tags": str}


def problems(schedule: ScheduleFile) -> Iterator[Problem]:
    """Yield every ticket system without a usable selector, and every selector that is wrong."""
    kept = any("complaint" in t.records for rule in schedule.rules for t in rule.triggers)
    for name, section in schedule.processors.items():
        path = ("processors", name, "settings", KEY)
        if KEY in section.settings:
            yield from _wrong(path, section.settings[KEY])
        elif kept and section.module and name in TICKET_SYSTEMS:
            yield path, "is missing: name the tags, forms or types that mark complaint and dispute tickets"


def _wrong(path: tuple[str | int, ...], selector: Any) -> Iterator[Problem]:
    if not isinstance(selector, dict):
        yield path, f"must hold {', '.join(RECOGNISED_BY)}"
        return
    kinds = RECOGNISED_BY | MORE
    for key, values in selector.items():
        if key not in kinds:
            yield (*path, key), f"is not known; known are {', '.join(kinds)}"
        elif not isinstance(values, list) or not all(type(v) is kinds[key] and v for v in values):
            yield (*path, key), f"must be a list of {kinds[key].__name__}"
    if not any(selector.get(key) for key in RECOGNISED_BY):
        yield path, "recognises nothing: name the tags, forms or types that mark complaint and dispute tickets"
