"""What happened to an object of the archive, as an entry of the log: objects by digest, people by keyed tag."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from include.archive.facts import ObjectFacts

EVENTS = {
    "archive_written": "archive_written",
    "archive_held_copy": "archive_written",
    "archive_retained": "archive_retained",
    "archive_destroy_attempted": "archive_destroy_attempted",
    "archive_destroyed": "archive_destroyed",
    "archive_keys_gone": "key_destroyed",
    "archive_crypto_erase_attempted": "key_destroy_attempted",
    "archive_crypto_erased": "key_destroyed",
    "archive_crypto_erase_confirmed": "key_destroyed",
    "archive_read": "archive_read",
}
"""What the log records of an object's life; an abandoned or postponed attempt changes nothing anybody could rely on."""

CODES = {
    "archive_held_copy": "held_copy",
    "archive_keys_gone": "confirmed",
    "archive_crypto_erased": "accepted",
    "archive_crypto_erase_confirmed": "confirmed",
}


def base(as_of: str, policy_sha256: str) -> dict[str, Any]:
    """Return the fields of an entry made outside a run."""
    return {
        "schema": "erasure-evidence/1",
        "recorded_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "as_of": as_of,
        "policy_sha256": policy_sha256,
    }


def entry_of(facts: ObjectFacts, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of `facts`, its common fields (run or people) from `given`."""
    entry = dict(given) | {
        "event": EVENTS[facts.event],
        "rule_id": facts.rule_id,
        "object_digest": base64.b64decode(facts.sha256).hex(),
        "rows": facts.rows,
        "subjects": facts.subjects,
        "retain_until": facts.retain_until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "last_day": facts.last_day.isoformat(),
        "destroy_by": facts.destroy_by.isoformat(),
        "storage_class": facts.storage_class.lower(),
    }
    more = {
        "code": facts.purpose or CODES.get(facts.event),
        "method": facts.method,
        "basis": facts.basis,
        "until": facts.until.isoformat() if facts.until else None,
        "archive_tag": facts.archive_tag,
        "count_before": facts.count,
    }
    return entry | {key: value for key, value in more.items() if value is not None}
