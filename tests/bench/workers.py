"""A line about scaling out: a whole night on two Celery workers beside the same night on one, in the same run."""

from __future__ import annotations

import statistics

import psutil

from include.sandbox.airflow import SLOTS_PER_WORKER
from tests.bench.airflow import NIGHT, running
from tests.bench.frame import Bench
from tests.bench.rows import Row, say


def celery_two_workers(bench: Bench) -> list[Row]:
    """Subjects a second with two workers; the baseline is one. Both share this machine's cores with everything else."""
    count = bench.sizes.nights[0]
    one, two = (_rates(bench, workers, count) for workers in (1, 2))
    value, baseline = statistics.median(two), statistics.median(one)
    reported = {
        "subjects": count,
        "slots_per_worker": SLOTS_PER_WORKER,
        "cores_shared_by_all": psutil.cpu_count(),
        "one_worker": one,
    }
    return [Row("celery_two_workers", value, "subjects/s", baseline, value / baseline, "", None, two, reported)]


def _rates(bench: Bench, workers: int, count: int) -> list[float]:
    rates = []
    with running(bench.folder / f"celery-{workers}", workers=workers) as airflow:
        for number in range(bench.sizes.night_repeat):
            before = airflow.proven()
            airflow.end_contracts(count)
            ran = airflow.run(NIGHT)
            if airflow.proven() - before != count:
                raise RuntimeError(f"of {count} subjects {airflow.proven() - before} were proven gone")
            rates.append(count / ran.seconds)
            say(f"  {workers} workers, run {number + 1}: {count:,} subjects in {ran.seconds:.0f} s")
    return rates
