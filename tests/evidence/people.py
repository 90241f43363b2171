"""An export folder for tests of what people read: entries, ledger, titles and a checkpoint, about nobody."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from include.evidence import verify
from include.evidence.entries import canonical
from tests.evidence.samples import base, disposal, life

TITLES = {
    "handler": "파기 담당자 · destruction task",
    "head": "개인정보 보호책임자 · privacy officer",
    "R-01": "해지 후 보유 · after termination",
    "law:R-01": "=개인정보 보호법 21 · PIPA",
    "D-01": "필수 계정 정보 · account core",
    "account_profile": "필수 계정 정보 · account core",
    "place:stripe": "스트라이프 · Stripe",
    "H-6": "법원 명령 보류 · court order",
}
PERSON = {"role": "privacy_officer", "pseudonym": "e-0001"}
HOLD = {"hold_ids": ["00000000-0000-0000-0000-0000000000aa"], "hold_kinds": ["H-6"], "key_epoch": "2026"}

RECONCILED = {
    "terminated": 7, "destroyed": 2, "held": 1, "kept": 1, "not_yet_due": 2, "not_done": 1, "waiting": 1,
}  # fmt: skip
HELD = disposal(5, "planned")["subject_tag"]


def stripe(number: int, event: str, **fields: Any) -> dict[str, Any]:
    given = {"processor": "stripe", "scope": "payments", "datasets": ["payments"], "categories": ["D-05"]}
    return disposal(number, event, **given, rule_id="R-14") | fields


def night() -> list[dict[str, Any]]:
    """Two destroyed, one of them late; one kept by a processor, one failed, one held, one on paper; a busy archive."""
    late = {"as_of": "2026-12-01"}
    counts = {
        "own_database.confirmed_absent": 2, "own_database.blocked": 1, "stripe.retained_by_processor": 1,
        "stripe.failed": 1, "paper.manual_pending": 1,
    }  # fmt: skip
    return [
        base("policy_approved", policy_text_sha256="ef" * 32, actor=PERSON),
        base("run_started"),
        base("population", code="source", counts={"terminated": 7, "live": 20}),
        *life(1),
        *(entry | late for entry in life(2)),
        stripe(3, "planned"),
        stripe(3, "attempted", step="redact", method="vendor_redaction"),
        stripe(3, "accepted", step="redact", http_status=200, receipt_sha256="cd" * 32),
        stripe(3, "retained_by_processor", basis="stripe_aml_card_rules", count_before=3, count_after=3),
        stripe(4, "planned"),
        stripe(4, "failed", code="ambiguous"),
        disposal(5, "planned"),
        disposal(5, "blocked", code="hold_h-6", hold_kinds=["H-6"]),
        disposal(6, "planned", processor="paper", scope="paper", datasets=["paper"], categories=["D-16"]),
        disposal(
            6, "manual_pending", processor="paper", scope="paper", datasets=["paper"], categories=["D-16"],
            until="2026-11-29", code="paper_destruction_order",
        ),
        base("hold_placed", subject_tag=HELD, code="court_order", actor=PERSON, **HOLD),
        base("archive_written", rule_id="R-01", object_digest="aa" * 32, rows=9, last_day="2031-03-31"),
        base("archive_written", rule_id="R-01", object_digest="bb" * 32, rows=5, last_day="2026-11-20"),
        base("archive_destroyed", rule_id="R-01", object_digest="bb" * 32),
        base("archive_read", actor=PERSON, object_digest="aa" * 32),
        base("population", code="reconciled", counts=RECONCILED),
        base("run_finished", counts=counts),
    ]  # fmt: skip


def folder(path: Path, entries: Iterable[Mapping[str, Any]], *, before: int = 0) -> Path:
    """Write what `export` writes before it asks for what people read; the log has `before` entries before these."""
    path.mkdir(parents=True, exist_ok=True)
    bodies = [canonical(entry) for entry in entries]
    size = before + len(bodies)
    ledger = verify.Ledger(size, TITLES)
    lines = [ledger.header()]
    for index, body in enumerate(bodies, before):
        entry = json.loads(body)
        lines.append((ledger.line(index, entry) if "disposal_id" in entry else None) or b"")
    (path / "entries.jsonl").write_bytes(b"".join(body + b"\n" for body in bodies))
    (path / "ledger.csv").write_bytes(b"".join(lines))
    (path / "titles.json").write_text(json.dumps(TITLES), encoding="utf-8")
    (path / "checkpoint").write_text(f"log.example\n{size}\nroot=\n\n— log.example c2ln\n", encoding="utf-8")
    return path
