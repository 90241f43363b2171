"""One entry of the log: its keys, its events, its exact bytes (schema `erasure-evidence/1`).

The log outlives the person's data, so no key may hold or encode any of it. There is no free text: every string is a
word of a list, a code, a date, a digest, a UUID or a keyed tag, and unknown keys are refused. Messages name the key,
never the value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from include.errors import EvidenceError

SCHEMA = "erasure-evidence/1"
MAX_BYTES = 65_535
"""The limit of an entry in a C2SP tlog-tiles entry bundle (its length is two bytes)."""

Check = Callable[[Any], bool]

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode

_CODE = re.compile(r"[a-z][a-z0-9_.:-]{0,79}|[A-Z][A-Za-z_]{0,79}")
_SCHEDULE_ID = re.compile(r"[HRCQVO]-\d{1,2}[a-z]?")
_REQUEST_ID = re.compile(
    r"req_[A-Za-z0-9]{8,40}|(?=\d*[A-Fa-f])([0-9A-F]{16,64}|[0-9a-f]{16,64})|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|(?=\d*[a-f])[0-9a-f]{16}-[A-Z]{3}|(?=([A-Z]*\d){2})(?=(\d*[A-Z]){4})[0-9A-Z]{16}"
)
_PHONE = re.compile(r"\d[\d.:_-]{6,}\d")


@lru_cache(maxsize=4096)
def is_code(value: str) -> bool:
    """Return whether `value` is a word of ours, or a processor's own error word (`DELETE_FAILED`, `RecordNotFound`).

    Nothing shaped like a telephone number passes; e-mails cannot, for want of `@`, nor most vendors' object ids, which
    begin with a digit or mix capitals with digits.
    """
    return _CODE.fullmatch(value) is not None and _PHONE.search(value) is None


def is_request_id(value: str) -> bool:
    """Return whether `value` has the shape of a vendor's request id: hexadecimal, a UUID, `req_…` or one of S3's.

    No telephone number, card number, name or address has one of these shapes.
    """
    return _REQUEST_ID.fullmatch(value) is not None


@lru_cache(maxsize=4096)
def is_date(value: str) -> bool:
    """Return whether `value` is a real ISO date."""
    try:
        return len(value) == 10 and value.isascii() and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


@lru_cache(maxsize=4096)
def is_moment(value: str) -> bool:
    """Return whether `value` is a real moment in UTC to the second, `2026-01-31T17:00:00Z`."""
    try:
        return datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").strftime("%Y-%m-%dT%H:%M:%SZ") == value
    except ValueError:
        return False


def _text(check: Callable[[str], object]) -> Check:
    return lambda value: type(value) is str and bool(check(value))


def _like(pattern: str) -> Check:
    return _text(re.compile(pattern).fullmatch)


def _word(*words: str) -> Check:
    allowed = frozenset(words)
    return _text(allowed.__contains__)


def _whole(low: int, high: int = 2**53 - 1) -> Check:
    return lambda value: type(value) is int and low <= value <= high


def _several(check: Check, limit: int = 64) -> Check:
    return lambda value: type(value) is list and 0 < len(value) <= limit and all(map(check, value))


def _object(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    known = {**required, **(optional or {})}

    def check(value: Any) -> bool:
        return (
            type(value) is dict
            and required.keys() <= value.keys() <= known.keys()
            and all(known[k](v) for k, v in value.items())
        )

    return check


def _counts(value: Any) -> bool:
    return (
        type(value) is dict
        and len(value) <= 1024
        and all(type(k) is str and is_code(k) for k in value)
        and all(map(_whole(0), value.values()))
    )


CODE = _text(is_code)
DATE = _text(is_date)
MOMENT = _text(is_moment)
DIGEST = _like(r"[0-9a-f]{64}")
UUID = _like(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
EPOCH = _like(r"20\d{2}")
RULE = _like(r"R-\d{2}[a-z]?")
CATEGORY = _like(r"D-\d{2}")
HOLD = _like(r"H-\d{1,2}")
WORD = _text(lambda value: is_code(value) or _SCHEDULE_ID.fullmatch(value))
VERSION = _like(r"[0-9a-z][0-9a-z.+-]{0,39}")

KEYS: dict[str, Check] = {
    # What, when.
    "schema": _word(SCHEMA),
    "event": _text(lambda value: value in EVENTS),
    "recorded_at": MOMENT,
    "as_of": DATE,
    "run": _object({"dag": CODE, "run_id": UUID, "try": _whole(0, 10_000), "version": VERSION}),
    "actor": _object({"role": CODE, "pseudonym": CODE}),
    "approver": _object({"role": CODE, "pseudonym": CODE}),
    "witness": _object({"role": CODE, "pseudonym": CODE}),
    # Whose, where, why, until when.
    "disposal_id": UUID,
    "subject_tag": DIGEST,
    "archive_tag": DIGEST,
    "key_epoch": EPOCH,
    "subject_type": _word("individual", "business", "end_user", "child"),
    "processor": CODE,
    "scope": CODE,
    "datasets": _several(CODE),
    "categories": _several(CATEGORY),
    "rule_id": RULE,
    "rule_version": _whole(1),
    "rule_ids": _several(RULE),
    "policy_sha256": DIGEST,
    "policy_text_sha256": DIGEST,
    "trigger_event": CODE,
    "trigger_date": DATE,
    "created_from": DATE,
    "created_to": DATE,
    "last_day": DATE,
    "free_from": DATE,
    "destroy_by": DATE,
    "moved_by": _several(_object({"code": WORD, "date": DATE}), 8),
    "hold_ids": _several(UUID),
    "hold_kinds": _several(HOLD),
    "holds_read_at": MOMENT,
    "exceptions": _several(
        _object({}, {"item": CODE, "items": _several(CODE, 256), "rule_id": RULE, "law": CODE, "until": DATE})
    ),
    # What became of it.
    "code": WORD,
    "until": DATE,
    "basis": WORD,
    "step": CODE,
    "method": CODE,
    "sanitization": _word("clear", "purge", "destroy"),
    "count_before": _whole(0),
    "count_after": _whole(0),
    "verify_method": CODE,
    "http_status": _whole(100, 599),
    "vendor_request_id": _text(is_request_id),
    "backup_expires_on": DATE,
    "receipt_sha256": DIGEST,
    "counts": _counts,
    "answer_by": MOMENT,
    "proof_date": DATE,
    "rows": _whole(0),
    "subjects": _whole(0),
    # Objects in storage: by digest, never by name.
    "object_digest": DIGEST,
    "object_digests": _several(DIGEST, 256),
    "retain_until": MOMENT,
    "storage_class": CODE,
    "log_size": _whole(0),
    # Decisions of a second person.
    "approval_id": UUID,
    "request_id": UUID,
    "approved_sha256": DIGEST,
    "log_root": DIGEST,
}
"""Every key an entry may have, and what its value must be."""

_BASE = frozenset({"schema", "event", "recorded_at", "as_of"})
_DISPOSAL = _BASE | {
    "disposal_id", "subject_tag", "key_epoch", "subject_type", "processor", "scope", "datasets", "categories",
    "rule_id", "rule_version", "policy_sha256", "trigger_event", "trigger_date", "last_day", "free_from", "destroy_by",
}  # fmt: skip
_HOLD = _BASE | {"subject_tag", "key_epoch", "hold_ids", "hold_kinds"}

EVENTS: dict[str, frozenset[str]] = {
    # One disposal; the words are those of its outcomes.
    "planned": _DISPOSAL,
    "blocked": _DISPOSAL | {"code"},
    "released": _DISPOSAL,
    "located": _DISPOSAL,
    "archived": _DISPOSAL,
    "attempted": _DISPOSAL | {"step"},
    "accepted": _DISPOSAL,
    "awaiting": _DISPOSAL | {"until"},
    "confirmed_absent": _DISPOSAL,
    "confirmed_anonymised": _DISPOSAL,
    "retained": _DISPOSAL | {"until"},
    "retained_by_processor": _DISPOSAL | {"basis"},
    "expires_by_processor": _DISPOSAL | {"until"},
    "manual_pending": _DISPOSAL,
    "manual_attested": _DISPOSAL,
    "failed": _DISPOSAL | {"code"},
    "reappeared": _DISPOSAL,
    "cancelled": _DISPOSAL | {"code"},
    # A run, the schedule, the brakes.
    "run_started": _BASE | {"run"},
    "run_finished": _BASE | {"run"},
    "population": _BASE | {"run", "counts"},
    "policy_approved": _BASE | {"policy_sha256", "policy_text_sha256", "actor"},
    "stop_set": _BASE | {"code"},
    "stop_released": _BASE,
    "cpo_check": _BASE | {"actor", "code", "counts", "log_size", "log_root"},
    "incident_assessed": _BASE | {"actor", "code"},
    "manual_requested": _BASE | {"processor", "code", "counts"},
    "manual_answered": _BASE | {"processor", "code", "method", "receipt_sha256", "proof_date", "actor"},
    "brake_set": _BASE | {"code"},
    "brake_released": _BASE | {"actor"},
    "approval_requested": _BASE | {"actor", "approval_id", "approved_sha256", "code"},
    "approval_expired": _BASE | {"approval_id", "approved_sha256", "code"},
    "approved": _BASE | {"actor"},
    "rejected": _BASE | {"actor"},
    # Holds and requests of a person.
    "hold_placed": _HOLD,
    "hold_released": _HOLD,
    "hold_reviewed": _HOLD,
    "request_received": _BASE | {"subject_tag", "key_epoch", "code"},
    "request_confirmed": _BASE | {"subject_tag", "key_epoch", "actor"},
    "request_answered": _BASE | {"subject_tag", "key_epoch", "code"},
    "notice_sent": _BASE | {"subject_tag", "key_epoch", "code"},
    # The statutory archive, keys, readers.
    "archive_written": _BASE | {"rule_id", "object_digest", "rows"},
    "archive_retained": _BASE | {"rule_id", "object_digest", "basis", "until"},
    "archive_destroy_attempted": _BASE | {"rule_id", "object_digest"},
    "archive_destroyed": _BASE | {"rule_id", "object_digest"},
    "archive_read": _BASE | {"actor"},
    "archive_inventory": _BASE | {"counts"},
    "key_destroy_attempted": _BASE,
    "key_destroyed": _BASE,
    "tag_opened": _BASE | {"actor", "subject_tag", "key_epoch"},
    "access_digest": _BASE | {"receipt_sha256", "counts"},
    "anchored": _BASE | {"log_size", "log_root"},
    "processor_ended": _BASE | {"processor"},
    "restored": _BASE,
    "sighting_decided": _BASE | {"code", "actor"},
    "swept": _BASE | {"processor", "code", "counts"},
    "self_scanned": _BASE | {"run", "code", "counts"},
    "metadata_cleaned": _BASE | {"code", "counts"},
    "corrected": _BASE | {"code"},
}
"""Every event, and the keys it must have."""


def canonical(entry: Mapping[str, Any]) -> bytes:
    """Return the RFC 8785 bytes of `entry`, or raise `EvidenceError` naming the key that is wrong.

    Checked entries hold printable ASCII without quotes and whole numbers only; over those, sorted compact JSON *is*
    RFC 8785 (a test compares it with `rfc8785`), at a tenth of the time.
    """
    problem = find_problem(entry)
    if problem is not None:
        raise EvidenceError(f"Evidence entry refused: {problem}. Nothing was recorded; correct the caller.")
    body = _encode(entry).encode("ascii")
    if len(body) > MAX_BYTES:
        raise EvidenceError(f"Evidence entry refused: {len(body)} bytes, at most {MAX_BYTES}. Split it.")
    return body


def find_problem(entry: Mapping[str, Any]) -> str | None:
    """Return what is wrong with `entry` without quoting any value, or None."""
    if type(entry) is not dict:
        return "it is not an object"
    for key, value in entry.items():
        check = KEYS.get(key) if type(key) is str else None
        if check is None:
            return f"unknown key {key}" if type(key) is str and is_code(key) else "an unknown key"
        if not check(value):
            return f"the value of {key!r} has a form that is not allowed there"
    # Whoever follows a disposal through the log needs all of its identity, whatever the event.
    missing = EVENTS.get(entry.get("event", ""), _BASE) - entry.keys()
    if "disposal_id" in entry:
        missing |= _DISPOSAL - entry.keys()
    if missing:
        return f"{entry.get('event', 'an entry without event')} lacks {', '.join(sorted(missing))}"
    return None


def parse(line: bytes) -> dict[str, Any]:
    """Return the entry whose canonical bytes are `line`; raise `EvidenceError` for any other bytes."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise EvidenceError("These bytes are not an evidence entry: not JSON.") from error
    if type(entry) is not dict or canonical(entry) != line:
        raise EvidenceError("These bytes are not an evidence entry: not in canonical form.")
    return entry
