"""An outside reading of a night: the policy and what `make run` left, and nothing of the product's own planning.

`findings(local)` returns one sentence for everything that is wrong; an empty list is a night that did what the policy
says and can prove it. `remarks(local)` returns what a strict reader would still ask about. After the first night the
accounts database no longer knows whom it forgot: give the folder of that night's `before` dumps as `known`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from tests.e2e.outside_evidence import Entry, check_log, last
from tests.e2e.outside_night import Night
from tests.e2e.outside_places import Record, left, processor
from tests.e2e.outside_policy import from_trigger

RULES = tuple(f"R-{n:02}" for n in range(1, 15))
HOLDS = tuple(f"H-{n}" for n in range(1, 8))
# Outcomes that may leave something where it is: what else the entry has to say then.
EXPLAINED = {"awaiting": "until", "retained": "until", "expires_by_processor": "until", "manual_pending": "until"}
ACTS = ("attempted", "accepted", "awaiting", "confirmed_absent", "confirmed_anonymised", "retained_by_processor")
JOBS = ("redaction_job",)
OWN_CLOCK = ("access_log",)
OPAQUE = re.compile(r"[0-9a-f-]{8,}|[0-9TZ:.-]+")


def findings(local: Path, known: Path | None = None) -> list[str]:
    """Return everything that contradicts the policy or the evidence."""
    night = Night(local, known)
    found = check_log(night.evidence, night.export, night.summary["evidence_size"])
    found += _grouped(_check_records(night))
    found += _grouped(_check_audiences(night))
    found += _check_counts(night)
    found += _grouped(_check_ends(night))
    found += _grouped(_check_recordings(night))
    found += _grouped(_check_settlement(night))
    found += _grouped(_check_dates(night))
    found += _grouped(_check_holds(night))
    found += _grouped(_check_archive(night))
    found += _check_occurrence(night.evidence.entries)
    return found + _check_identities(night)


def remarks(local: Path, known: Path | None = None) -> list[str]:
    """Return what is explained by the evidence and yet wider or later than the policy needs."""
    night = Night(local, known)
    return [
        remark
        for found in (_remark_wide_holds(night), _remark_other_reasons(night), _remark_orphans(night))
        for remark in _grouped(found)
    ]


def _grouped(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Join findings of one kind: what, how many, and the first few accounts or keys."""
    groups: dict[str, list[str]] = defaultdict(list)
    for what, who in pairs:
        groups[what].append(who)
    return [f"{what}: {len(w)} ({', '.join(list(dict.fromkeys(w))[:6])})" for what, w in sorted(groups.items())]


def _check_records(night: Night) -> Iterator[tuple[str, str]]:
    """Compare every record with itself after the night."""
    for record in night.records:
        if record.store == "adroll" or record.key[0] in JOBS:
            continue
        line, body = night.after[record.store].get(record.key, (None, None))
        who = "+".join(sorted({a for a, _ in record.owners | record.mentions})) or str(record.key[1])
        same, standing = line == record.line, night.standing(record)
        if standing == "kept" and not same:
            yield from _kept(night, record, body, who)
        elif not same and not night.changed_by(record):
            yield f"changed: {record} without an attempt in the evidence", who
        if standing == "due" and left(record, body):
            yield from _unexplained(night, record, who)
    yield from _new(night)


def _kept(night: Night, record: Record, after: Any, who: str) -> Iterator[tuple[str, str]]:
    """What is not due may change only where it mentions somebody who is."""
    owed = [(a, d) for a, d in record.mentions if night.window(record, a, d).at(night.as_of) != "kept"]
    if not owed or after is None:
        holds = {h for a, d in record.owners for h in night.window(record, a, d).holds}
        why = f"held by {', '.join(sorted(holds))}" if holds else "not due"
        yield f"lost: {record} {why}, {'gone' if after is None else 'changed'}", who
    elif not night.changed_by(record):
        yield f"changed: {record} without an attempt in the evidence", who


def _unexplained(night: Night, record: Record, who: str) -> Iterator[tuple[str, str]]:
    """Yield a due record that stayed without an outcome that says why and until when."""
    for account, dataset in record.owners:
        where = "own_database" if dataset == "register" else processor(dataset)
        asked = "account_profile" if dataset == "register" else dataset
        courses = [last(c) for c in night.evidence.covering(account, where, asked)]
        if not courses:
            yield f"left: {record} is due and the evidence has no disposal of it", who
        elif not any(_explains(e, record) for e in courses):
            outcomes = ", ".join(sorted({f"{e['event']} {e.get('code', '')}".strip() for e in courses}))
            yield f"left: {record} is due, the evidence says {outcomes}", who


def _explains(entry: Entry, record: Record) -> bool:
    """Return whether an outcome says why something stayed, and until when where that can be known."""
    event = entry["event"]
    if event in ("blocked", "failed"):
        return bool(entry.get("code"))
    if event == "manual_pending" and record.key[0] == "audience_member":
        return False  # the person is asked for the vendor's confirmation; our own list is clean by then
    return event in EXPLAINED and bool(entry.get(EXPLAINED[event])) and bool(entry.get("code"))


def _new(night: Night) -> Iterator[tuple[str, str]]:
    """Yield records that were not there before, other than the processors' own jobs."""
    before = {(r.store, r.key) for r in night.records}
    for store, rows in night.after.items():
        for key in rows:
            if (store, key) not in before and key[0] not in JOBS:
                yield f"new: {store}/{key[0]} was not there before", key[1]


def _check_audiences(night: Night) -> Iterator[tuple[str, str]]:
    """Members leave an audience when no account behind their address may stay; everybody else stays."""
    uploaders: dict[tuple[str, str], set[str]] = defaultdict(set)  # who stands in our own list stands in theirs
    for row in (r.body for r in night.records if r.key[0] == "audience_member"):
        uploaders[row["segment_id"], row["email"].lower()].add(row["account_id"])
    for record in (r for r in night.records if r.store == "adroll"):
        _, after = night.after["adroll"].get(record.key, (None, None))
        was = {m.lower() for m in record.body.get("members", [])}
        now = {m.lower() for m in (after or {}).get("members", [])}
        for mail in sorted(was):
            owners = uploaders.get((record.key[1], mail)) or night.people.mail(mail)
            days = [night.reading.window(a, "audience").at(night.as_of) for a in owners]
            due, who = bool(days) and set(days) == {"due"}, "+".join(sorted(owners)) or "nobody we know"
            ends = [last(c) for a in owners for c in night.evidence.covering(a, "adroll", "audience")]
            # A list that would fall below the vendor's smallest is switched off and its people are asked for by hand.
            active = bool((after or {}).get("is_active"))
            explained = {"failed", "blocked", "awaiting"} | (set() if active else {"manual_pending", "manual_attested"})
            if not due and mail not in now and active:
                yield "lost: adroll member not due", who
            elif due and mail in now and not any(e["event"] in explained for e in ends):
                yield "left: adroll member is due", who
        if now - was:
            yield "new: adroll members", record.key[1]


def _check_counts(night: Night) -> list[str]:
    """The summary's numbers are those of the entries."""
    courses, summary = night.evidence.disposals.values(), night.summary
    told = {(p, o): n for p, outcomes in summary["disposals"].items() for o, n in outcomes.items()}
    counted = Counter((c[0]["processor"], last(c)["event"]) for c in courses)
    found = [
        f"counts: {p} {o} {told.get((p, o), 0)} in the summary, {counted.get((p, o), 0)} in the entries"
        for p, o in sorted({*told, *counted})
        if told.get((p, o), 0) != counted.get((p, o), 0)
    ]
    started = max((i for i, e in enumerate(night.evidence.entries) if e["event"] == "run_started"), default=0)
    tonight = night.evidence.entries[started:]
    numbers = {
        "due": len({e["disposal_id"] for e in tonight if e["event"] == "planned"}),
        "archived_objects": sum(e["event"] == "archive_written" for e in night.evidence.entries),
    }
    return found + [
        f"counts: {k} {summary[k]} in the summary, {n} in the entries" for k, n in numbers.items() if summary[k] != n
    ]


def _check_ends(night: Night) -> Iterator[tuple[str, str]]:
    """A night ends every disposal in an outcome that means something, and fails none but the ambiguous."""
    for course in night.evidence.disposals.values():
        end, who = last(course), night.evidence.owner.get(course[0]["subject_tag"], "unknown tag")
        if end["event"] in ("planned", "located", "archived", "attempted", "accepted", "reappeared"):
            yield f"unfinished: {end['processor']} ends as {end['event']}", who
        elif end["event"] == "failed" and end.get("code") != "ambiguous":
            yield f"failed: {end['processor']} {end.get('code')}", who
        if who == "unknown tag":
            yield "evidence: a disposal of nobody in the accounts database", course[0]["disposal_id"]


def _check_recordings(night: Night) -> Iterator[tuple[str, str]]:
    """Whoever could have been recorded and is due has a dated outcome; only the vendor's own schedule deletes."""
    for account in night.reading.accounts:
        if not any(r.key[0] == "clarity_identity" and (account, "cookie") in r.owners for r in night.of(account)):
            continue
        ends = [last(c) for c in night.evidence.covering(account, "clarity", "recordings")]
        due = night.reading.window(account, "recordings").at(night.as_of) == "due"
        if due and not any(e["event"] in ("expires_by_processor", "awaiting", "blocked", "failed") for e in ends):
            told = ", ".join(sorted(e["event"] for e in ends)) or "nothing"
            yield f"left: clarity recordings are due, the evidence says {told}", account


def _check_settlement(night: Night) -> Iterator[tuple[str, str]]:
    """A balance that is not settled holds settlement fields, and delays nothing else of the same person."""
    settled = {
        "adroll": ("audience", {"manual_pending", "manual_attested", "confirmed_absent"}),
        "clarity": ("recordings", {"expires_by_processor", "confirmed_absent"}),
        "own_database": ("access_log", {"confirmed_absent"}),
    }
    for account in night.reading.accounts:
        if not night.reading.owes(account):
            continue
        for place, (dataset, wanted) in settled.items():
            if night.reading.window(account, dataset).at(night.as_of) != "due":
                continue
            ends = [last(c) for c in night.evidence.covering(account, place, dataset)]
            if any({"H-1", "H-2"} & set(e.get("hold_kinds", ())) for e in ends):
                yield f"held: {place} {dataset} waits for a settlement", account
            elif not ends or not all(e["event"] in wanted or e.get("code") == "ambiguous" for e in ends):
                told = ", ".join(sorted(e["event"] for e in ends)) or "nothing"
                yield f"settlement: {place} {dataset} of a person who owes or is owed: {told}", account


def _check_dates(night: Night) -> Iterator[tuple[str, str]]:
    """Nothing is touched before its day; every printed date follows from its trigger, every trigger from the facts."""
    for course in night.evidence.disposals.values():
        entry, who = course[0], night.evidence.owner.get(course[0]["subject_tag"], "unknown tag")
        trigger, free = date.fromisoformat(entry["trigger_date"]), date.fromisoformat(entry["free_from"])
        rule, event, dataset = entry["rule_id"], entry["trigger_event"], entry["datasets"][0]
        what = f"{rule} {entry['processor']} {dataset} after {event}"
        if any(e["event"] in ACTS and e["as_of"] < e["free_from"] for e in course):
            yield f"early: {what} was touched before its day", who
        last_day = date.fromisoformat(entry["last_day"])
        if free != last_day + timedelta(days=1) or date.fromisoformat(entry["destroy_by"]) != last_day + timedelta(
            days=5
        ):
            yield f"dates: {what}: free_from or destroy_by does not follow from last_day", who
        earliest, latest = from_trigger(rule, event, trigger)
        released = max(night.reading.released(who, d) for d in entry["datasets"])
        if free < earliest:
            yield f"early: {what} is planned before its period is over", who
        if free > max(latest, released) and dataset not in OWN_CLOCK:
            yield f"late: {what} is planned after its period is over", who
        yield from _trigger(night, who, what, event, trigger)


def _trigger(night: Night, who: str, what: str, event: str, trigger: date) -> Iterator[tuple[str, str]]:
    column = {
        "terminated": ("account", "terminated_on"),
        "requested": ("account", "requested_on"),
        "consent_withdrawn": ("consent", "withdrawn_on"),
        "event_ended": ("prize_entry", "event_ended_on"),
        "instruction": ("end_user_instruction", "instructed_on"),
        "guardian_refused": ("guardian", "collected_on"),
        "guardian_request_closed": ("guardian", "request_closed_on"),
        "credit_record": ("credit_record", "recorded_on"),
        "credit_purpose_achieved": ("credit_information", "purpose_achieved_on"),
    }.get(event)
    # Rows that an earlier night took can no longer be asked.
    rows = night.reading.rows(column[0], who) if column else []
    if column and rows and str(trigger) not in {str(r[column[1]]) for r in rows}:
        yield f"trigger: {what} is not the {column[1]} of the {column[0]}", who


def _check_holds(night: Night) -> Iterator[tuple[str, str]]:
    """Whatever the evidence calls held is held by a balance, a case, a correction or an order."""
    ordered: dict[str, set[str]] = defaultdict(set)
    for entry in night.evidence.entries:
        if entry["event"] == "hold_placed":
            ordered[entry["subject_tag"]] |= set(entry["hold_kinds"])
    for course in night.evidence.disposals.values():
        end, who = last(course), night.evidence.owner.get(course[0]["subject_tag"], "unknown tag")
        if end["event"] == "blocked" and (kinds := set(end.get("hold_kinds", ()))):
            known = ordered[end["subject_tag"]] | {h for d in end["datasets"] for h in night.reading.holds(who, d)}
            for kind in sorted(kinds - known):
                yield f"held: {end['processor']} {end['scope']} by {kind}, which nothing explains", who


def _check_archive(night: Night) -> Iterator[tuple[str, str]]:
    """A payment whose five (abroad: seven) years from the filing deadline still run is archived before any act."""
    for course in night.evidence.disposals.values():
        events = [e["event"] for e in course]
        if "payment" not in course[0]["datasets"] or "attempted" not in events:
            continue
        who = night.evidence.owner.get(course[0]["subject_tag"], "unknown tag")
        touched = date.fromisoformat(course[events.index("attempted")]["as_of"])
        years = [day.year + (8 if r["offshore"] else 6) for r, day in night.reading.payments(who)]
        if any(date(y, 3, 31) >= touched for y in years) and "archived" not in events[: events.index("attempted")]:
            yield "archive: payments under a tax clock were touched before they were archived", who


def _check_occurrence(entries: Iterable[Entry]) -> list[str]:
    """Every rule and every hold of the policy occurs."""
    seen: set[str] = set()
    for entry in entries:
        named = [entry.get("rule_id"), *entry.get("rule_ids", ()), *entry.get("hold_kinds", ())]
        seen |= {str(n)[:4] for n in named if n}
    return [f"evidence: {n} does not occur" for n in (*RULES, *HOLDS) if n not in seen]


def _check_identities(night: Night) -> list[str]:
    """No value of an entry is, or contains, anything that the dumps know a person by."""
    words = {w for e in night.evidence.entries for w in _strings(e)}
    plain = "\n".join(sorted(w for w in words if not OPAQUE.fullmatch(w)))
    known = {w for r in night.records if r.store in ("accounts", "adroll", "zendesk") for w in _identities(r.body)}
    vendors = {r.key[1] for r in night.records if r.store in ("salesforce", "stripe")}
    hit = {w for w in known if len(w) > 4 and w in plain} | (vendors | set(night.reading.accounts)) & words
    return [f"personal data: {len(hit)} identities of the dumps stand in the entries"] if hit else []


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
    elif isinstance(value, str):
        yield value


def _identities(body: Any) -> Iterator[str]:
    fields: tuple[str, ...] = (
        "email",
        "name",
        "login_id",
        "phone",
        "company_name",
        "trade_name",
        "representative",
        "business_no",
    )
    fields += ("corporation_no", "address", "contact", "external_id", "device_key", "ip", "value")
    return (str(body[f]) for f in fields if body.get(f))


def _remark_wide_holds(night: Night) -> Iterator[tuple[str, str]]:
    """A hold is on a case or a field; whatever else waits with it stays longer than its own maximum."""
    for course in night.evidence.disposals.values():
        end, who = last(course), night.evidence.owner.get(course[0]["subject_tag"], "unknown tag")
        kinds = set(end.get("hold_kinds", ())) - {"H-6", "H-7"}
        if end["event"] == "blocked" and kinds:
            for dataset in end["datasets"]:
                here = any(dataset == r.key[0] for r in night.of(who))
                if here and not kinds & night.reading.holds(who, dataset):
                    yield f"wide: {dataset} waits for {', '.join(sorted(kinds))} of another dataset", who


def _remark_other_reasons(night: Night) -> Iterator[tuple[str, str]]:
    """The policy knows seven holds; whatever else stops a disposal keeps data past its day for another reason."""
    for course in night.evidence.disposals.values():
        end = last(course)
        if end["event"] == "blocked" and not end.get("hold_kinds"):
            yield (
                f"other reason: {end['processor']} {end.get('code')} is none of the holds",
                night.evidence.owner.get(end["subject_tag"], "unknown tag"),
            )


def _remark_orphans(night: Night) -> Iterator[tuple[str, str]]:
    """Rows of an account whose register row has gone: nobody can tell any more when they fall due."""
    rows = night.after["accounts"]
    there = {b["account_id"] for k, (_, b) in rows.items() if k[0] == "account"}
    for key, (_, body) in rows.items():
        if body.get("account_id") and body["account_id"] not in there:
            yield f"orphan: {key[0]} row of an account that is no longer in the register", body["account_id"]
