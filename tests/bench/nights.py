"""Lines that need Airflow: subjects through mapped tasks, an empty night, and how many task instances a night has."""

from __future__ import annotations

import json
import statistics
from datetime import date
from uuid import uuid4

from sqlalchemy import Engine, insert, text

from include.database import run, schedule_version
from include.disposals import make_batches
from include.policy import schedule
from tests.bench.airflow import EMPTY, NIGHT
from tests.bench.company import context_on
from tests.bench.frame import Bench
from tests.bench.registry import PLACE
from tests.bench.rows import Row, say

GOALS = (5.0, 15.0)
DAY = date(2026, 11, 24)


def airflow_subjects_per_s_1k(bench: Bench) -> list[Row]:
    """A whole night of a thousand subjects."""
    return [_night(bench, "airflow_subjects_per_s_1k", bench.sizes.nights[0], GOALS[0])]


def airflow_subjects_per_s_10k(bench: Bench) -> list[Row]:
    """A whole night of ten thousand subjects."""
    return [_night(bench, "airflow_subjects_per_s_10k", bench.sizes.nights[1], GOALS[1])]


def _night(bench: Bench, name: str, count: int, goal: float) -> Row:
    airflow, rates, instances = bench.airflow, [], 0
    for number in range(bench.sizes.night_repeat):
        before = airflow.proven()
        airflow.end_contracts(count)
        ran = airflow.run(NIGHT)
        if airflow.proven() - before != count:
            raise RuntimeError(f"of {count} subjects {airflow.proven() - before} were proven gone")
        rates.append(count / ran.seconds)
        instances = ran.instances
        bench.counted[count] = instances
        say(
            f"  run {number + 1} of {bench.sizes.night_repeat}: {count:,} subjects in {ran.seconds:.0f} s, "
            f"{instances} tasks"
        )
    value = statistics.median(rates)
    reported = {"subjects": count, "task_instances": instances, "seconds": round(count / value, 1)}
    return Row(name, value, "subjects/s", None, None, f">= {goal:.0f}/s", value >= goal, rates, reported)


def empty_night(bench: Bench) -> list[Row]:
    """A night with nothing due; the baseline is an empty DAG of the same tasks and edges."""
    airflow, nights, empty, instances = bench.airflow, [], [], (0, 0)
    for number in range(bench.sizes.empty_nights):
        base, mine = airflow.run(EMPTY), airflow.run(NIGHT)
        instances = (mine.instances, base.instances)
        if instances[0] != instances[1] or mine.states != base.states:
            raise RuntimeError(f"the night ran {mine.states}, the empty DAG {base.states}: not the same tasks")
        empty.append(base.seconds)
        nights.append(mine.seconds)
        say(f"  run {number + 1} of {bench.sizes.empty_nights}: night {nights[-1]:.1f} s, empty DAG {empty[-1]:.1f} s")
    value, baseline = statistics.median(nights), statistics.median(empty)
    ratio = value / baseline
    reported = {"task_instances": instances[0]}
    return [Row("empty_night", value, "s", baseline, ratio, "ratio <= 1.3", ratio <= 1.3, nights, reported)]


def task_instances(bench: Bench) -> list[Row]:
    """Count what a night of many due subjects gives Airflow to schedule, from the batches that are really made.

    Where a night of that size ran in this same run, its own count must be the one computed here, or the goal is missed.
    """
    shape = json.loads((bench.airflow.stack.dags / "shape.json").read_text())
    fixed = sum(node["mapped_over"] is None for node in shape)
    mapped = len(shape) - fixed
    points = {}
    for due in bench.sizes.batches:
        with bench.database() as engine:
            made = _batches(engine, due)
        # A mapped task with nothing to map over is one skipped instance.
        points[due] = {"tasks": fixed + mapped - 2 + 2 * max(made, 1), "batches": made}
        say(f"  {due:,} due: {points[due]['tasks']} task instances, {made} batches")
    unlike = {d: n for d, n in bench.counted.items() if d in points and points[d]["tasks"] != n}
    most = max(points)
    value = points[most]["tasks"]
    bound = fixed + mapped + 2 * -(-most // _size())
    reported = {"fixed": fixed, "mapped": mapped, "batch_size": _size(), "points": points, "bound": bound,
                "counted_in_real_nights": dict(bench.counted)}  # fmt: skip
    goal = "<= tasks of the DAG + 2 x due / batch"
    return [
        Row("task_instances", value, "tasks", bound, value / bound, goal, value <= bound and not unlike, (), reported)
    ]


def _size() -> int:
    from include.processors import load

    return load(PLACE).batch_size


def _batches(engine: Engine, due: int) -> int:
    """Divide `due` disposals of as many accounts into batches, as a night does; return how many."""
    known, run_id = schedule.load(), uuid4()
    with engine.begin() as connection:
        connection.execute(
            insert(schedule_version).values(sha256=known.sha256, policy_text_sha256="p", body=known.body)
        )
        connection.execute(
            insert(run).values(run_id=run_id, dag_id=NIGHT, airflow_run_id="r", as_of=DAY, schedule_sha256=known.sha256)
        )
        connection.execute(
            text(
                "INSERT INTO retention.disposal (disposal_id, subject_tag, key_epoch, account_id, subject_type, "
                "processor, rule_id, rule_version, scope_id, trigger_event, trigger_date, last_day, free_from, "
                "destroy_by, datasets, categories, schedule_sha256, run_id, outcome, due_at) "
                "SELECT gen_random_uuid(), 'tag-' || n, '2026', 'acct_' || n, 'individual', :place, 'R-90', 1, "
                "'bench', 'terminated', :day, :day, :day, :day, '{bench_record}', '{D-01}', :sha256, :run_id, "
                "'planned', :day FROM generate_series(1, :due) n"
            ),
            {"place": PLACE, "day": DAY, "sha256": known.sha256, "run_id": run_id, "due": due},
        )
    return len(make_batches(context_on(engine, known, DAY), run_id, PLACE, _size()))
