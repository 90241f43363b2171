"""The questions an officer or auditor asks, as pure functions over the entries of a log.

    found = QUESTIONS["late"].answer(source.entries(), Asked(...))
    found.lines, found.rows            # words to print; log indexes that prove them

Each reads the entries once and remembers only disposals that are still open, and what its answer shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from include.errors import EvidenceError
from include.evidence.entries import find_problem
from include.evidence.verify import DESTROYED, TERMINATED, Rules, closes

Entry = dict[str, Any]
Entries = Iterable[tuple[int, Entry]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question may be asked about: tags by epoch, a business date, a month, an entry, a run, rules."""

    tags: frozenset[str] = frozenset()
    epochs: tuple[str, ...] = ()
    on: str = ""
    until: str = ""
    index: int = -1
    run_id: str = ""
    rules: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is so, line by line, and the log indexes that prove it."""

    lines: list[str]
    rows: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Question:
    """One question of the catalogue; `needs` names the options it cannot do without."""

    number: int
    words: str
    answer: Callable[[Entries, Asked], Answer]
    needs: tuple[str, ...] = ()


@dataclass(slots=True)
class Life:
    """What is known about one disposal: its first and newest entry."""

    first: Entry
    index: int
    last: Entry
    intended: bool = False

    @property
    def closed(self) -> bool:
        """Whether nothing is left to do."""
        return closes(self.last)


def lives(entries: Entries, *, until: str = "") -> Iterator[Life]:
    """Yield each disposal as it ends, and at the end those still open, as known on business date `until`."""
    known: dict[str, Life] = {}
    for index, entry in entries:
        key = entry.get("disposal_id")
        if key is None or (until and entry["as_of"] > until):
            continue
        life = known.setdefault(key, Life(entry, index, entry))
        life.index, life.last = index, entry
        life.intended |= entry["event"] == "attempted"
        if life.closed:
            yield known.pop(key)
    yield from known.values()


def shown(life: Life) -> str:
    """Return a disposal in one line, without anybody in it."""
    e = life.last
    more = "".join(f", {k} {e[k]}" for k in ("code", "basis", "until") if k in e)
    place = f"{e['processor']}/{e['scope']} ({', '.join(e['categories'])})"
    return f"{place}: {e['event']}{more} on {e['as_of']}; {e['rule_id']}, last day {e['last_day']}, entry {life.index}"


def was_destroyed(entries: Entries, asked: Asked) -> Answer:
    found = [life for life in lives(entries) if life.last["subject_tag"] in asked.tags]
    if not found:
        return Answer([f"no record under epochs {', '.join(asked.epochs) or '(none)'}"])
    return Answer([shown(x) for x in found], [x.index for x in found])


def still_held(entries: Entries, asked: Asked) -> Answer:
    mine = [x for x in lives(entries) if x.last["subject_tag"] in asked.tags and x.last["event"] not in DESTROYED]
    if not mine:
        return Answer([f"nothing known to be held under epochs {', '.join(asked.epochs) or '(none)'}"])
    return Answer([shown(x) for x in mine], [x.index for x in mine])


def due_not_done(entries: Entries, asked: Asked) -> Answer:
    due = [x for x in lives(entries, until=asked.on) if not x.closed and x.first["free_from"] <= asked.on]
    counts = Counter((x.last["processor"], x.last["event"], x.last.get("code", "")) for x in due)
    head = [f"{len(due)} due on {asked.on} and not ended then"]
    return Answer(head + [f"  {n} {p} {e} {c}".rstrip() for (p, e, c), n in sorted(counts.items())], _rows(due))


def late(entries: Entries, asked: Asked) -> Answer:
    found = [
        x
        for x in lives(entries)
        if x.last["event"] in DESTROYED and x.last["as_of"] > x.last["destroy_by"] and x.last["as_of"] >= asked.on
    ]
    return Answer([f"{len(found)} destroyed after their date", *map(shown, found[:50])], _rows(found))


def early(entries: Entries, asked: Asked) -> Answer:
    acts = DESTROYED | {"attempted"}
    found = [(i, e) for i, e in entries if e["event"] in acts and e.get("count_before") != 0 and _is_early(e)]
    lines = [f"  entry {i}: {e['event']} on {e['as_of']}, free from {e['free_from']}" for i, e in found[:50]]
    return Answer([f"{len(found)} acts before the period was over (must be 0)", *lines], [i for i, _ in found[:50]])


def _is_early(entry: Entry) -> bool:
    return "free_from" in entry and entry["as_of"] < entry["free_from"]


def unconfirmed(entries: Entries, asked: Asked) -> Answer:
    waiting = ("attempted", "accepted", "awaiting", "manual_pending", "expires_by_processor", "failed", "reappeared")
    found = [x for x in lives(entries) if not x.closed and x.last["event"] in waiting]
    counts = Counter((x.last["processor"], x.last["event"]) for x in found)
    return Answer(
        [f"{p}: {n} {e}" for (p, e), n in sorted(counts.items())] or ["every processor confirmed"], _rows(found)
    )


def who(entries: Entries, asked: Asked) -> Answer:
    people, both, rows = Counter[tuple[str, ...]](), 0, []
    for index, e in entries:
        named = [e[k] for k in ("actor", "approver", "witness") if k in e]
        if not named:
            continue
        people[(e["event"], *(f"{p['role']}:{p['pseudonym']}" for p in named))] += 1
        both += len({p["pseudonym"] for p in named}) < len(named)
        rows.append(index)
    lines = [f"{n} {event}: {', '.join(names)}" for (event, *names), n in sorted(people.items())]
    return Answer([*lines, f"{both} times the same person in two parts (must be 0)"], rows[:50])


def requests(entries: Entries, asked: Asked) -> Answer:
    return _dated(entries, ("request_received", "request_answered"))


def refusals(entries: Entries, asked: Asked) -> Answer:
    chosen = ((i, e) for i, e in entries if e["event"] == "request_answered" and "refused" in e.get("code", ""))
    return _dated(chosen, ("request_answered",))


def held(entries: Entries, asked: Asked) -> Answer:
    placed: dict[str, tuple[int, Entry, str]] = {}
    for index, e in entries:
        for hold in e.get("hold_ids", ()):
            if e["event"] == "hold_placed":
                placed[hold] = (index, e, "never reviewed")
            elif e["event"] == "hold_reviewed" and hold in placed:
                placed[hold] = (placed[hold][0], placed[hold][1], f"reviewed {e['as_of']}")
            elif e["event"] == "hold_released":
                placed.pop(hold, None)
    today = date.fromisoformat(asked.on)
    lines = [
        f"{', '.join(e['hold_kinds'])} since {e['as_of']}, {(today - date.fromisoformat(e['as_of'])).days} days, {last}"
        for _, e, last in placed.values()
    ]
    return Answer([f"{len(placed)} holds placed by hand are active", *lines], [i for i, _, _ in placed.values()][:50])


def _stored(entries: Entries) -> dict[str, tuple[int, Entry]]:
    objects: dict[str, tuple[int, Entry]] = {}
    for index, e in entries:
        if e["event"] == "archive_written":
            objects[e["object_digest"]] = (index, e)
        elif e["event"] == "archive_destroyed":
            objects.pop(e["object_digest"], None)
    return objects


def cold_storage(entries: Entries, asked: Asked) -> Answer:
    objects = _stored(entries)
    rows, ends = Counter[str](), dict[str, list[str]]()
    for _, e in objects.values():
        rows[e["rule_id"]] += e["rows"]
        ends.setdefault(e["rule_id"], []).append(e.get("last_day", "?"))
    lines = [
        f"{r}: {len(ends[r])} objects, {n} rows, ending {min(ends[r])} to {max(ends[r])}"
        for r, n in sorted(rows.items())
    ]
    return Answer(lines or ["nothing is in cold storage"], [i for i, _ in objects.values()][:50])


def cold_reads(entries: Entries, asked: Asked) -> Answer:
    month = asked.on[:7]
    return _dated(((i, e) for i, e in entries if e["as_of"][:7] == month), ("archive_read",))


def outlived(entries: Entries, asked: Asked) -> Answer:
    found = [(i, e) for i, e in _stored(entries).values() if e.get("last_day", "9999") < asked.on]
    lines = [f"  entry {i}: {e['rule_id']}, last day {e['last_day']}, {e['rows']} rows" for i, e in found]
    return Answer(
        [f"{len(found)} archived objects have outlived their basis on {asked.on}", *lines], [i for i, _ in found]
    )


def policy_of(entries: Entries, asked: Asked) -> Answer:
    approved: dict[str, str] = {}
    for index, e in entries:
        if e["event"] == "policy_approved":
            approved[e["policy_sha256"]] = f"approved {e['as_of']} by {e['actor']['role']}, entry {index}"
        if index == asked.index:
            sha256 = e.get("policy_sha256", "(none named)")
            return Answer([f"schedule {sha256}: {approved.get(sha256, 'no approval before it')}"], [index])
    raise EvidenceError(f"Entry {asked.index} is not here. Name one of these entries.")


def rule_changes(entries: Entries, asked: Asked) -> Answer:
    """Say which schedules were approved in a period, and how many due dates the last one moves against the first."""
    kept, versions = list(_plans(entries)), dict[str, str]()
    for _, e in kept:
        if e["event"] == "policy_approved" and e["as_of"] <= asked.until:
            versions[e["policy_sha256"]] = e["as_of"]
    before = [v for v, day in versions.items() if day < asked.on]
    after = list(versions)
    lines = [f"{day}: schedule {v[:12]} approved" for v, day in versions.items() if day >= asked.on]
    if not lines:
        return Answer([f"no schedule was approved between {asked.on} and {asked.until}"])
    if asked.rules is None or not before:
        return Answer(
            [*lines, "which due dates moved: needs an export with rules.json and an approval before the period"]
        )
    rules, moved = Rules(asked.rules), Counter[str]()
    for _, e in kept:
        if e["event"] == "planned":
            moved[e["rule_id"]] += rules.judge(e | {"policy_sha256": before[-1]}) != rules.judge(
                e | {"policy_sha256": after[-1]}
            )
    return Answer(lines + [f"{n} due dates differ under {r}" for r, n in sorted(moved.items()) if n])


def _plans(entries: Entries) -> Iterator[tuple[int, Entry]]:
    return ((i, e) for i, e in entries if e["event"] in ("planned", "policy_approved"))


def notices(entries: Entries, asked: Asked) -> Answer:
    return _dated(entries, ("notice_sent",))


def paper(entries: Entries, asked: Asked) -> Answer:
    chosen = (
        (i, e) for i, e in entries if e.get("processor") == "paper" and e["event"] in (*DESTROYED, "manual_attested")
    )
    return _dated(chosen, (*DESTROYED, "manual_attested"))


def restores(entries: Entries, asked: Asked) -> Answer:
    return _dated(entries, ("restored", "reappeared"))


def scan(entries: Entries, asked: Asked) -> Answer:
    """The entries are looked at here; logs, XCom and tables are what each run's own scan found."""
    bad = [i for i, e in entries if find_problem(e) is not None]
    scans = [(i, e) for i, e in entries if e["event"] == "self_scanned"]
    wrong = [(i, e) for i, e in scans if e["code"] != "clean"]
    lines = [
        f"{len(bad)} entries hold something no entry may hold (must be 0)",
        f"{len(scans)} scans of logs, Airflow's tables and ours; {len(wrong)} of them not clean",
    ]
    if scans:
        newest = scans[-1][1]
        read = ", ".join(f"{name} {n}" for name, n in sorted(newest["counts"].items()))
        lines.append(f"newest: {newest['code']} at {newest['recorded_at']}: {read}")
    cleaned = [e["recorded_at"] for _, e in entries if e["event"] == "metadata_cleaned"]
    lines.append(
        f"Airflow's old runs and logs were cleaned {len(cleaned)} times" + (f", last {cleaned[-1]}" if cleaned else "")
    )
    return Answer(lines, [*bad, *(i for i, _ in wrong), *(i for i, _ in scans[-1:])][:50])


def corrections(entries: Entries, asked: Asked) -> Answer:
    found = [x for x in lives(entries) if not x.closed and x.last.get("code") == "hold_h-5"]
    return Answer([f"{len(found)} disposals wait for a pending correction", *map(shown, found[:50])], _rows(found))


def end_users(entries: Entries, asked: Asked) -> Answer:
    found = [x for x in lives(entries) if x.last["rule_id"] == "R-12"]
    counts = Counter(x.last["event"] for x in found)
    lines = [f"{n} {e}" for e, n in sorted(counts.items())] or ["no end-user data fell due"]
    return Answer([*lines, *map(shown, [x for x in found if not x.closed][:50])], _rows(found))


def keys(entries: Entries, asked: Asked) -> Answer:
    used, looked, ended, rows = Counter[str](), Counter[str](), list[str](), list[int]()
    for index, e in entries:
        if e["event"] == "tag_opened":
            looked[f"{e['actor']['role']}:{e['actor']['pseudonym']}"] += 1
        elif e["event"] == "key_destroyed" and "key_epoch" in e:
            ended.append(f"epoch {e['key_epoch']}: {e.get('code', 'destroyed')} on {e['as_of']}")
        elif "key_epoch" in e:
            used[e["key_epoch"]] += 1
            continue
        else:
            continue
        rows.append(index)
    lines = [f"epoch {k}: {n} entries" for k, n in sorted(used.items())]
    return Answer([*lines, *(f"{n} tags opened by {p}" for p, n in sorted(looked.items())), *ended], rows[:50])


def reconcile(entries: Entries, asked: Asked) -> Answer:
    """Say for the newest night what the register counted, what became of every terminated account, and if it adds up.

    Beside it stands what the log itself shows: subjects with something held or open now.
    """
    counted: dict[str, tuple[int, Entry]] = {}

    def watched() -> Iterator[tuple[int, Entry]]:
        for index, e in entries:
            if e["event"] == "population":
                counted[e.get("code", "source")] = (index, e)
            yield index, e

    still = [x for x in lives(watched()) if not x.closed]
    lines = [
        f"{code} on {e['as_of']}: " + ", ".join(f"{n} {k}" for k, n in e["counts"].items())
        for code, (_, e) in sorted(counted.items(), reverse=True)
    ]
    if "reconciled" in counted:
        counts = counted["reconciled"][1]["counts"]
        right = counts["terminated"] == sum(counts[c] for c in TERMINATED)
        terms = " + ".join(f"{counts[c]} {c}" for c in TERMINATED)
        lines.append(f"{counts['terminated']} terminated {'=' if right else 'IS NOT'} {terms}")
    held = {x.last["subject_tag"] for x in still if x.last["event"] == "blocked"}
    open_ = {x.last["subject_tag"] for x in still}
    lines.append(f"in the log now: {len(open_)} subjects with something open, {len(held)} of them held")
    return Answer(lines or ["no night is recorded here"], [index for index, _ in counted.values()])


def run_of(entries: Entries, asked: Asked) -> Answer:
    """Say what one run destroyed, whose (by tag), since when it could be known, and when 72 hours end."""
    mine = [(i, e) for i, e in entries if e.get("run", {}).get("run_id") == asked.run_id]
    gone = [(i, e) for i, e in mine if e["event"] in DESTROYED]
    if not gone:
        return Answer([f"run {asked.run_id} destroyed nothing in {len(mine)} entries"])
    known = datetime.fromisoformat(min(e["recorded_at"] for _, e in gone))
    counts = Counter((e["processor"], c) for _, e in gone for c in e["categories"])
    lines = [f"{n} {p} {c}" for (p, c), n in sorted(counts.items())]
    lines += [f"{len({e['subject_tag'] for _, e in gone})} subjects; first recorded {known:%Y-%m-%dT%H:%M:%SZ}"]
    lines += [f"72 hours from then end {known + timedelta(hours=72):%Y-%m-%dT%H:%M:%SZ}"]
    return Answer(lines + sorted({e["subject_tag"] for _, e in gone}), [i for i, _ in gone][:50])


def _dated(entries: Entries, events: Iterable[str]) -> Answer:
    wanted, lines, rows = frozenset(events), list[str](), list[int]()
    for index, e in entries:
        if e["event"] in wanted:
            people = "".join(
                f", {k} {e[k]['role']}:{e[k]['pseudonym']}" for k in ("actor", "approver", "witness") if k in e
            )
            code = "".join(f" {e[k]}" for k in ("code", "basis", "rule_id") if k in e)
            lines.append(f"{e['as_of']} {e['event']}{code}{people}, entry {index}")
            rows.append(index)
    return Answer([f"{len(lines)} found", *lines], rows[:50])


def _rows(found: Iterable[Life]) -> list[int]:
    return [x.index for x in found][:50]


QUESTIONS: dict[str, Question] = {
    "was-destroyed": Question(
        1, "Was this account destroyed, where, when, under which rule?", was_destroyed, ("tags",)
    ),
    "still-held": Question(2, "What is still held on this account, by system, law, end date?", still_held, ("tags",)),
    "due-not-done": Question(3, "What was due on a date and is not destroyed, and why?", due_not_done, ("on",)),
    "late": Question(4, "Which items were destroyed later than 5 days after expiry?", late),
    "early": Question(5, "Which were destroyed before their last day (must be none)?", early),
    "unconfirmed": Question(6, "Which processors have not confirmed?", unconfirmed),
    "who": Question(9, "Who approved, executed, checked; the same person twice?", who),
    "requests": Question(10, "Requests received and answered", requests),
    "refusals": Question(11, "All refusals with their basis", refusals),
    "holds": Question(12, "All holds, age, last review", held, ("on",)),
    "cold-storage": Question(13, "What is in cold storage per law, and when does it end?", cold_storage),
    "cold-reads": Question(14, "Who read cold storage in a month?", cold_reads, ("on",)),
    "outlived": Question(15, "Which cold records have outlived every basis?", outlived, ("on",)),
    "policy-of": Question(18, "Which policy version governed this entry?", policy_of, ("index",)),
    "rule-changes": Question(
        19, "What changed between two dates, which due dates moved?", rule_changes, ("on", "until")
    ),
    "notices": Question(20, "Which notices were sent ahead?", notices),
    "paper": Question(21, "Paper destroyed, by whom, witnessed by whom?", paper),
    "restores": Question(23, "After the last restore, what reappeared or was applied again?", restores),
    "scan": Question(24, "Is any personal data in evidence, logs, XCom?", scan),
    "corrections": Question(25, "What waits for a pending correction?", corrections),
    "end-users": Question(26, "Customer contract ended: end-user data destroyed?", end_users),
    "keys": Question(27, "Key epochs: which are used, who looked up, which were destroyed?", keys),
    "reconcile": Question(28, "Source terminations against what became of them", reconcile),
    "run": Question(30, "What did this run destroy, whose, when known, 72 hours?", run_of, ("run_id",)),
}
"""By command; 7 and 8 (`not-rewritten`, `prove-row`) need the tree, not the entries, and stand in `ask`."""
