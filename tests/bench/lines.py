"""Which lines there are, in the order they run: the quick ones first, Airflow last."""

from __future__ import annotations

from tests.bench.archiving import archive_write
from tests.bench.engine import engine_subjects_per_s
from tests.bench.evidence import evidence_seal, evidence_verify
from tests.bench.frame import Line
from tests.bench.planning import plan_1m

LINES: dict[str, Line] = {
    "plan_1m": plan_1m,
    "engine_subjects_per_s": engine_subjects_per_s,
    "evidence_seal": evidence_seal,
    "evidence_verify": evidence_verify,
    "archive_write": archive_write,
}


def chosen(only: str) -> dict[str, Line]:
    """Return the lines named, comma separated, or all; an unknown name is refused with the known ones."""
    names = [name.strip() for name in only.split(",") if name.strip()]
    unknown = sorted(set(names) - LINES.keys())
    if unknown:
        raise LookupError(f"no line {', '.join(unknown)}; there are {', '.join(LINES)}")
    return {name: line for name, line in LINES.items() if not names or name in names}
