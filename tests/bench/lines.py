"""Which lines there are, in the order they run: the quick ones first, Airflow last."""

from __future__ import annotations

from tests.bench.archiving import archive_write
from tests.bench.engine import engine_subjects_per_s
from tests.bench.evidence import evidence_seal, evidence_verify
from tests.bench.frame import Line
from tests.bench.nights import airflow_subjects_per_s_1k, airflow_subjects_per_s_10k, empty_night, task_instances
from tests.bench.planning import plan_1m
from tests.bench.quotas import quota_use
from tests.bench.real import real_processors
from tests.bench.workers import celery_two_workers

LINES: dict[str, Line] = {
    "plan_1m": plan_1m,
    "engine_subjects_per_s": engine_subjects_per_s,
    "real_processors": real_processors,
    "quota_use": quota_use,
    "evidence_seal": evidence_seal,
    "evidence_verify": evidence_verify,
    "archive_write": archive_write,
    "empty_night": empty_night,
    "airflow_subjects_per_s_1k": airflow_subjects_per_s_1k,
    "airflow_subjects_per_s_10k": airflow_subjects_per_s_10k,
    "task_instances": task_instances,
    "celery_two_workers": celery_two_workers,
}


def chosen(only: str) -> dict[str, Line]:
    """Return the lines named, comma separated, or all; an unknown name is refused with the known ones."""
    names = [name.strip() for name in only.split(",") if name.strip()]
    unknown = sorted(set(names) - LINES.keys())
    if unknown:
        raise LookupError(f"no line {', '.join(unknown)}; there are {', '.join(LINES)}")
    return {name: line for name, line in LINES.items() if not names or name in names}
