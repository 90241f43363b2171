"""The preview: what will go, what stays and why, before anybody approves it; plain data without anything of a person.

Its lines have the fields of the evidence that follows (processor, scope, rule, datasets, categories, dates), so that
the two can be laid side by side. What a second person approves is the digest of exactly this.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from include.policy.answers import Clock
from include.policy.planner import PlannedDisposal
from include.policy.requests import Asked, RequestPlan
from include.policy.schedule import Schedule

KEY = ("processor", "rule_id", "scope", "trigger_event", "trigger_date", "datasets")


def line(
    planned: PlannedDisposal,
    schedule: Schedule,
    *,
    count: int | None = None,
    steps: Sequence[str] = (),
    code: str | None = None,
) -> dict[str, Any]:
    """Return one place's line; `count` None means it was not read, and `code` says why."""
    rule = schedule.rules[planned.rule_id]
    return {
        "processor": planned.processor,
        "scope": planned.scope_id,
        "datasets": list(planned.datasets),
        "categories": list(planned.categories),
        "rule_id": planned.rule_id,
        "law": f"{rule.basis[0].law} {rule.basis[0].article}",
        "trigger_event": planned.trigger_event,
        "trigger_date": planned.trigger_date.isoformat(),
        "last_day": planned.last_day.isoformat(),
        "free_from": planned.free_from.isoformat(),
        "destroy_by": planned.destroy_by.isoformat(),
        "hold_kinds": list(planned.held_by),
        "count_before": count,
        "steps": list(steps),
        "code": code,
    }


def body(
    plan: RequestPlan,
    asked: Asked,
    lines: Sequence[Mapping[str, Any]],
    schedule: Schedule,
    *,
    clock: Clock,
    subject_tag: str,
) -> dict[str, Any]:
    """Return the whole preview."""
    return {
        "kind": plan.kind.id,
        "basis": [f"{b.law} {b.article}" for b in plan.kind.basis],
        "received_on": asked.received_on.isoformat(),
        "due": clock.due.isoformat(),
        "due_rule": clock.rule,
        "subject_tag": subject_tag,
        "policy_sha256": schedule.sha256,
        "lines": sorted((dict(one) for one in lines), key=key),
        "kept": [
            {"item": k.item, "rule_id": k.rule_id, "law": f"{k.law} {k.article}", "until": k.until.isoformat()}
            for k in plan.kept
        ],
        "minimums": [line(d, schedule) for d in plan.minimums],
        "later": [line(d, schedule) for d in plan.later],
        "refused": [
            {"code": r.code, "law": f"{r.law} {r.article}", "processor": r.processor, "datasets": list(r.datasets),
             "offer": r.offer}
            for r in plan.refused
        ],
    }  # fmt: skip


def key(one: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what makes a line the same disposal."""
    return tuple(str(one[name]) for name in KEY)


def key_of(planned: PlannedDisposal) -> tuple[str, ...]:
    """Return the same for a planned disposal."""
    return (
        planned.processor,
        planned.rule_id,
        planned.scope_id,
        planned.trigger_event,
        planned.trigger_date.isoformat(),
        str(list(planned.datasets)),
    )


def digest(preview: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a preview: sorted compact JSON, UTF-8."""
    text = json.dumps(preview, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode()).hexdigest()


def markdown(preview: Mapping[str, Any], schedule: Schedule) -> str:
    """Return the preview as the approver reads it: Korean and English, tables, no account id."""
    kind = next(k for k in schedule.requests.kinds if k.id == preview["kind"]) if schedule.requests else None
    title = f"{kind.title.ko} · {kind.title.en}" if kind else preview["kind"]
    parts = [
        f"**{title}** ({', '.join(preview['basis'])})",
        f"접수일 · received {preview['received_on']}, "
        f"답변 기한 · answer due **{preview['due']}** ({preview['due_rule']})",
        _going(preview["lines"], schedule),
        _kept(preview, schedule),
        _refused(preview["refused"], schedule),
        _later(preview["later"], schedule),
        f"`{digest(preview)}`",
    ]
    return "\n\n".join(p for p in parts if p)


def place(schedule: Schedule, name: str) -> str:
    """Return a processor's title in both languages."""
    section = schedule.processors[name]
    return f"{section.title.ko} · {section.title.en}"


def _categories(schedule: Schedule, ids: Sequence[str]) -> str:
    return ", ".join(f"{schedule.categories[c].title.ko} {c}" for c in ids)


def _going(lines: Sequence[Mapping[str, Any]], schedule: Schedule) -> str:
    if not lines:
        return "파기 대상 없음 · nothing to erase."
    rows = [
        f"| {place(schedule, one['processor'])} | {_categories(schedule, one['categories'])} | "
        f"{one['count_before'] if one['count_before'] is not None else '? ' + str(one['code'])} | "
        f"{', '.join(one['steps']) or '-'} | {one['rule_id']} {one['law']} | {one['free_from']} | "
        f"{', '.join(one['hold_kinds']) or (one['code'] or '-')} |"
        for one in lines
    ]
    head = (
        "| 처리처 · place | 자료 · data | 건수 · records | 조치 · action | 근거 · law | 파기 가능일 · free from | "
        "보류 · holds |\n|---|---|---|---|---|---|---|\n"
    )
    return "### 파기 · to be erased\n\n" + head + "\n".join(rows)


def _kept(preview: Mapping[str, Any], schedule: Schedule) -> str:
    laws: dict[tuple[str, str, str], list[str]] = {}
    for one in preview["kept"]:
        laws.setdefault((one["rule_id"], one["law"], one["until"]), []).append(one["item"])
    rows = [f"- {rule} {law}, ~ {until}: {', '.join(items)}" for (rule, law, until), items in sorted(laws.items())]
    rows += [
        f"- {one['rule_id']} {one['law']}, ~ {one['last_day']}: {_categories(schedule, one['categories'])}"
        for one in preview["minimums"]
    ]
    return "### 법령에 따른 보존 · kept by law\n\n" + "\n".join(rows) if rows else ""


def _refused(refused: Sequence[Mapping[str, Any]], schedule: Schedule) -> str:
    rows = [
        f"- {place(schedule, r['processor'])}: {', '.join(r['datasets'])} ({r['code']}, {r['law']})"
        + (f", 대신 · instead: {r['offer']}" if r["offer"] else "")
        for r in refused
    ]
    return "### 거절 · refused\n\n" + "\n".join(rows) if rows else ""


def _later(later: Sequence[Mapping[str, Any]], schedule: Schedule) -> str:
    rows = [
        f"- {one['free_from']}: {place(schedule, one['processor'])}, {_categories(schedule, one['categories'])} "
        f"({one['rule_id']})"
        for one in later
    ]
    return "### 이후 기일 · on its own date\n\n" + "\n".join(rows) if rows else ""
