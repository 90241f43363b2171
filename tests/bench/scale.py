"""Derives docs/scale.md from a `bench.json`: `python -m tests.bench.scale .local/bench.json > docs/scale.md`.

Every derived number is printed with its formula; no measured one is typed by hand.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from include import processors
from include.policy import schedule
from include.processors import Quota

BACKLOGS = (10_000, 1_000_000)
DAY = 86_400
SHARE = 0.5
WAITS = {
    "stripe": "redaction waits for the newest transaction + 90 days",
    "salesforce": "rows stay readable for a day after a hard delete",
    "zendesk": "a purged user is confirmed by the compliance status, up to 30 days later",
    "clarity": "recordings expire by themselves, 13 months at most",
    "adroll": "ends in a request to the vendor where there is no list",
}

HEAD = """# Scale

What a backlog takes, and what grows with what. Every number below is derived by the formula beside it from a figure
of `make bench`; `python -m tests.bench.scale` wrote this page from its `bench.json`. Measured on {machine};
{caveat} Each figure names the size it was measured at.

## What binds first, and days to clear a backlog

    days(N) = max over quotas ((a x ceil(N / batch) + b x N) / (calls / seconds x share x 86,400))

`a` is what a batch costs anyhow and `b` what each subject adds: two nights of different size over the seeded company
were counted, as reserved against the quota or, where nothing reserves, at the stand-in ({sizes} subjects). `share` is
`quota_share` ({share:g} unless the schedule says otherwise). What is reserved is more than what is made: Salesforce's
calls are set aside 10 to 80 at a time, so its `a` is the most a batch can take ([limits](limits.md) has the calls made,
and `python -m tests.processors.salesforce_requests` counts them). Where no quota is published,
`days(N) = N / (subjects/s x 86,400)`, with one worker and the stand-in on the same machine.

| processor | binds first | published | batch | a | b | {n0:,} accounts | {n1:,} accounts | and then |
|---|---|---|---:|---:|---:|---:|---:|---|
"""

USED = (
    "plan_1m", "engine_subjects_per_s", "evidence_seal", "evidence_verify", "archive_write",
    "airflow_subjects_per_s_1k", "airflow_subjects_per_s_10k", "task_instances", "celery_two_workers",
)  # fmt: skip
"""Lines this page has a place for."""

BUSY = ", so other work shared it: absolute times are too long, counted calls are not touched."

GROWS = """
## What grows with what

| what | grows with | measured |
|---|---|---|
"""

WORKERS = """
## Executor and workers

    cores a processor can keep busy = subjects/day its quota allows x CPU-s a subject / 86,400

| processor | subjects/day by its quota | CPU-s a subject | cores |
|---|---:|---:|---:|
"""


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the page for the lines of one `bench.json`."""
    known = {row["name"]: row for row in rows}
    places = {n: known[f"engine_{n}"]["reported"] for n in processors.names() if f"engine_{n}" in known}
    machine = next(iter(rows))["machine"]
    load = machine["load_at_start"]
    busy = load > machine["cores"] / 2
    head = HEAD.format(
        machine=f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gb']:g} GB, {machine['system']}",
        caveat=f"its load average was {load:g} at the start"
        + (BUSY if busy else "."),
        sizes=" and ".join(str(n) for n in next(iter(places.values()))["subjects"]) if places else "no",
        share=SHARE, n0=BACKLOGS[0], n1=BACKLOGS[1],
    )  # fmt: skip
    parts = [
        head,
        *_backlogs(known, places),
        WORKERS,
        *_workers(known, places),
        *_executor(known),
        GROWS,
        *_grows(known),
        _missing(known),
    ]
    return "".join(parts)


def _missing(known: Mapping[str, Any]) -> str:
    """Return which lines this page would use and was not given."""
    gone = [f"`{name}`" for name in USED if name not in known]
    return f"\nNot measured for this page: {', '.join(gone)} (`make bench` measures them).\n" if gone else ""


def binding(name: str, reported: Mapping[str, Any], subjects: int) -> tuple[Quota, float] | None:
    """Return the quota that takes longest for `subjects`, and its days; None where none is published."""
    each, anyhow = reported["calls_a_subject"], reported["calls_a_batch"]
    quotas = processors.load(name).quotas
    found = []
    for quota in quotas:
        # A processor that watches the vendor's own counter reserves nothing: its one quota counts every call.
        key = quota.name if quota.name in each else "all" if len(quotas) == 1 else ""
        if key:
            calls = anyhow[key] * math.ceil(subjects / reported["batch_size"]) + each[key] * subjects
            found.append((quota, calls / (quota.calls / quota.seconds * _share(name) * DAY)))
    return max(found, key=lambda pair: pair[1], default=None)


def _share(name: str) -> float:
    settings = schedule.load().processors[name].settings
    return float(settings.get("quota_share", SHARE))


def _backlogs(known: Mapping[str, Any], places: Mapping[str, Any]) -> Iterator[str]:
    for name, reported in places.items():
        bound = binding(name, reported, BACKLOGS[-1])
        then = WAITS.get(name, "")
        if bound is None:
            rate = known[f"engine_{name}"]["value"]
            days = [n / (rate * DAY) for n in BACKLOGS]
            said = f"{rate:.1f} subjects/s"
            yield f"| {name} | our own speed | {said} | | | | {_days(days[0])} | {_days(days[1])} | {then} |\n"
            continue
        quota = bound[0]
        key = quota.name if quota.name in reported["calls_a_subject"] else "all"
        a, b = reported["calls_a_batch"][key], reported["calls_a_subject"][key]
        days = [found[1] for n in BACKLOGS if (found := binding(name, reported, n))]
        said = f"{quota.calls:,} per {quota.seconds:,.0f} s"
        yield (
            f"| {name} | `{quota.name}` | {said} | {reported['batch_size']:,} | {a:g} | {b:g} | {_days(days[0])} | "
            f"{_days(days[1])} | {then} |\n"
        )


def _workers(known: Mapping[str, Any], places: Mapping[str, Any]) -> Iterator[str]:
    total = 0.0
    for name, reported in places.items():
        bound, cpu = binding(name, reported, BACKLOGS[-1]), reported["cpu_s_per_subject"]
        if bound is None:
            continue
        a_day = BACKLOGS[-1] / bound[1] if bound[1] else math.inf
        cores = a_day * cpu / DAY
        total += 0.0 if math.isinf(cores) else cores
        shown = "no limit" if math.isinf(a_day) else f"{a_day:,.0f}"
        yield f"| {name} | {shown} | {cpu:g} | {'' if math.isinf(cores) else f'{cores:.2g}'} |\n"
    yield f"| all of them at once | | | {total:.2g} |\n"


def _executor(known: Mapping[str, Any]) -> Iterator[str]:
    engine = known.get("engine_subjects_per_s")
    if engine:
        cpu = engine["reported"]["cpu_s_per_subject"]
        yield (
            f"\nOur own part is {cpu:g} CPU-s a subject of six calls (`engine_subjects_per_s`), so one core carries "
            f"1 / {cpu:g} = {1 / cpu:,.0f} subjects a second before anything of ours binds.\n\n"
        )
    yield (
        "The quotas bind first: LocalExecutor on one machine is enough while the sum above is below its cores. A "
        "second worker (CeleryExecutor) is for a machine that fails, or for own stores without a quota:\n\n"
        "    workers = ceil(N x CPU-s a subject / (hours wanted x 3,600 x cores a worker))\n"
    )
    small, large = (known.get(f"airflow_subjects_per_s_{n}") for n in ("1k", "10k"))
    if small and large:
        (n0, t0), (n1, t1) = ((r["reported"]["subjects"], r["reported"]["seconds"]) for r in (small, large))
        each = max((t1 - t0) / (n1 - n0), 1e-9)
        yield (
            f"\nInside Airflow, on this machine: {t0:g} s for {n0:,} subjects and {t1:g} s for {n1:,}, so a night "
            f"takes {max(t0 - each * n0, 0):.0f} s + {each:.4f} s x N, and a night of six hours carries "
            f"{6 * 3600 / each:,.0f} subjects of six calls with one worker.\n"
        )
    two = known.get("celery_two_workers")
    if two:
        r = two["reported"]
        yield (
            f"\nTwo Celery workers carry {two['value']:.1f} subjects a second where one carries {two['baseline']:.1f}, "
            f"on the {r['cores_shared_by_all']} cores they share with everything else ({r['subjects']:,} subjects, "
            f"{r['slots_per_worker']} slots a worker): a second worker adds speed with cores of its own, and survives "
            "the first one anywhere.\n"
        )


def _grows(known: Mapping[str, Any]) -> Iterator[str]:
    plan, verify = known.get("plan_1m"), known.get("evidence_verify")
    seal, tasks, archive = known.get("evidence_seal"), known.get("task_instances"), known.get("archive_write")
    if plan:
        r = plan["reported"]
        yield (
            f"| planning | accounts due, not accounts there | {plan['value']:.2f} s for {r['due']:,} due of "
            f"{r['accounts']:,}, {r['seconds_at_a_tenth_of_the_accounts']:.2f} s of a tenth as many; "
            f"{r['peak_python_mb']:g} MB |\n"
        )
    if tasks:
        r = tasks["reported"]
        most = max(r["points"], key=int)
        yield (
            f"| task instances | {r['fixed']} tasks + 2 x (processors + due / batch) | {tasks['value']:,} at "
            f"{int(most):,} due, batches of {r['batch_size']} and more |\n"
        )
    if seal:
        yield (
            f"| sealing | new entries, not the log | {seal['value']:,.0f} entries/s onto {seal['reported']['log']:,}; "
            f"ratio {seal['ratio']:.2f} to a small log |\n"
        )
    if verify:
        r = verify["reported"]
        yield (
            f"| verifying | entries; memory with open disposals | {verify['value']:.1f} s for {r['entries']:,} "
            f"({verify['ratio']:.1f} x one bare reading), {r['peak_mb']:g} MB |\n"
        )
    if archive:
        r = archive["reported"]
        yield (
            f"| archiving | objects (laws x half-weeks of last days), then rows | {archive['value']:.1f} s for "
            f"{r['objects']:,} objects of {r['rows']:,} rows |\n"
        )


def _days(days: float) -> str:
    return f"{days:,.0f} days" if days >= 10 else f"{days:.1f} days" if days >= 0.1 else f"{days * 24 * 60:.0f} min"


if __name__ == "__main__":
    sys.stdout.write(page(json.loads(Path(sys.argv[1]).read_text())))
