"""Places that may never be erased, and replacements that are no erasure: checked in every processor's settings.

Settings are free mappings, so the check goes by the names of keys: `table`, `tables`, `schema`, `bucket`, `buckets`,
`prefix`, `prefixes`, `method` and `action`, at any depth.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from include.policy.models import ScheduleFile

Problem = tuple[tuple[str | int, ...], str]

OWN_SCHEMA = "retention"
REVERSIBLE = frozenset(
    {"pseudonymise", "pseudonymize", "keyed", "keyed_replacement", "hash", "hmac", "tokenise", "tokenize", "encrypt"}
)
"""Replacing a value by a keyed or reversible one leaves personal data; it is not anonymisation (58의2)."""

_ACCOUNT_PREFIX = re.compile(r"(?:[^{}]*[/=_-])?\{account_id\}/(?:[^{}]*/)?")


def problems(schedule: ScheduleFile) -> Iterator[Problem]:
    """Yield every setting that names one of our own places, or a way of replacing that leaves personal data."""
    ours = {schedule.settings.archive.bucket, schedule.settings.evidence.bucket}
    for name, section in schedule.processors.items():
        for dataset in section.datasets:
            if dataset == OWN_SCHEMA:
                yield ("processors", name, "datasets", dataset), "is our own schema; it is never erased"
        allowed = section.settings.get("refused_buckets")
        if isinstance(allowed, list) and not ours <= {str(bucket) for bucket in allowed}:
            yield ("processors", name, "settings", "refused_buckets"), f"must hold {', '.join(sorted(ours))}"
        for path, key, value in _walk(section.settings, ("processors", name, "settings")):
            if reason := _reason(key, value, ours):
                yield path, reason


def _reason(key: str, value: str, ours: set[str]) -> str | None:
    if key in ("table", "tables", "schema") and value.split(".")[0].strip('" ').lower() == OWN_SCHEMA:
        return f"names our own schema {OWN_SCHEMA}; it is never erased"
    if key in ("bucket", "buckets") and value in ours:
        return f"{value!r} is a bucket of ours; it is never erased"
    if key in ("prefix", "prefixes") and not _ACCOUNT_PREFIX.fullmatch(value):
        return f"{value!r} must hold {{account_id}} between delimiters, else account 1 reaches the objects of 10"
    if key in ("method", "action") and value.lower() in REVERSIBLE:
        return f"{value!r} is a keyed or reversible replacement; it is no erasure and no anonymisation"
    return None


def _walk(value: Any, path: tuple[str | int, ...], key: str = "") -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Yield every word below `value` with its path and nearest key; the keys of `tables` and `buckets` are words."""
    if isinstance(value, dict):
        for name, inside in value.items():
            if key in ("tables", "buckets"):
                yield (*path, name), key, str(name)
            yield from _walk(inside, (*path, name), str(name).lower())
    elif isinstance(value, list | tuple):
        for n, inside in enumerate(value):
            yield from _walk(inside, (*path, n), key)
    elif isinstance(value, str):
        yield path, key, value
