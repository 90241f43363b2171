"""Entries as the state machine records them, about nobody."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import UUID

POLICY = "ab" * 32


def base(event: str, **fields: Any) -> dict[str, Any]:
    return {
        "schema": "erasure-evidence/1",
        "event": event,
        "recorded_at": "2026-11-24T17:00:00Z",
        "as_of": "2026-11-25",
        "policy_sha256": POLICY,
        "run": {"dag": "nightly_retention", "run_id": str(UUID(int=7)), "try": 1, "version": "dev"},
        **fields,
    }


def disposal(number: int, event: str, **fields: Any) -> dict[str, Any]:
    return (
        base(
            event,
            disposal_id=str(UUID(int=number)),
            subject_tag=hashlib.sha256(str(number).encode()).hexdigest(),
            key_epoch="2026",
            subject_type="individual",
            processor="own_database",
            scope="account",
            datasets=["account_profile", "support_history"],
            categories=["D-01", "D-08"],
            rule_id="R-01",
            rule_version=1,
            trigger_event="terminated",
            trigger_date="2026-05-20",
            last_day="2026-11-20",
            free_from="2026-11-21",
            destroy_by="2026-11-25",
        )
        | fields
    )


def life(number: int) -> list[dict[str, Any]]:
    """One disposal from its plan to its proof."""
    return [
        disposal(number, "planned", rule_ids=["R-01", "R-09"]),
        disposal(number, "located", count_before=3),
        disposal(number, "attempted", step="delete_rows", method="row_delete"),
        disposal(number, "accepted", step="delete_rows", http_status=200, receipt_sha256="cd" * 32),
        disposal(number, "confirmed_absent", count_before=3, count_after=0, verify_method="select_count"),
    ]


def spelled(value: Any) -> bytes:
    """Return a value as the exporter writes its JSON files, however odd it is."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")
