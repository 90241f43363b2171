"""The questions asked of decisions, people, requests, rules and keys, answered as in `questions`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date

from include.errors import EvidenceError
from include.evidence.answers import SHOWN, Answer, Asked, Entries, Entry, Question, dated
from include.evidence.entries import find_problem
from include.evidence.verify import Rules


def who(entries: Entries, asked: Asked) -> Answer:
    """Say who acted in which part; one person in two parts of one entry, or asking and approving, must not be."""
    people, both, rows = Counter[tuple[str, ...]](), 0, []
    asking: dict[str, str] = {}
    for index, e in entries:
        named = [e[k] for k in ("actor", "approver", "witness") if k in e]
        if not named:
            continue
        people[(e["event"], *(f"{p['role']}:{p['pseudonym']}" for p in named))] += 1
        both += len({p["pseudonym"] for p in named}) < len(named)
        if e["event"] == "approval_requested":
            asking[e["approval_id"]] = e["actor"]["pseudonym"]
        elif e["event"] == "approved" and "approval_id" in e:
            both += asking.get(e["approval_id"]) == e["actor"]["pseudonym"]
        rows.append(index)
    lines = [f"{n} {asked.word(event)}: {', '.join(names)}" for (event, *names), n in sorted(people.items())]
    twice = asked.say(
        f"같은 사람이 두 역할을 한 경우 {both}건 (0이어야 함)",
        f"{both} times the same person in two parts (must be 0)",
    )
    return Answer([*lines, twice], rows[:SHOWN])


def _requests(entries: Entries) -> dict[str, dict[str, tuple[int, Entry]]]:
    """Return every request with the entry of each of its events, by id (by index where it has none)."""
    found: dict[str, dict[str, tuple[int, Entry]]] = {}
    for index, e in entries:
        if e["event"] in ("request_received", "request_answered", "notice_sent"):
            found.setdefault(e.get("request_id", str(index)), {})[e["event"]] = (index, e)
    return found


def _days(asked: Asked, start: Entry | None, end: Entry | None) -> str:
    if end is None:
        return asked.say("답변 전", "not answered yet")
    if start is None:
        return asked.say(f"{end['as_of']} 답변", f"answered on {end['as_of']}")
    days = (date.fromisoformat(end["as_of"]) - date.fromisoformat(start["as_of"])).days
    return asked.say(f"{end['as_of']} 답변, {days}일", f"answered on {end['as_of']}, after {days} days")


def requests(entries: Entries, asked: Asked) -> Answer:
    """Say of every request: kind, channel, how identity or relation was checked, due date, answer, days it took."""
    lines, rows = list[str](), list[int]()
    for events in _requests(entries).values():
        received, answered = (events.get(k, (-1, None)) for k in ("request_received", "request_answered"))
        first, last = received[1], answered[1]
        if first is None and last is None:
            continue
        e = first or last or {}
        parts = [asked.word(e["event"]), *(asked.word(e[k]) for k in ("code", "basis", "verify_method") if k in e)]
        due = asked.say(f"기한 {e['until']}", f"due {e['until']}") if "until" in e else ""
        result = asked.word(last["code"]) if last is not None else ""
        named = ", ".join(filter(None, (due, _days(asked, first, last), result)))
        lines.append(
            f"{e['as_of']} {' '.join(parts)}; {named}, {asked.say('기록', 'entry')} {max(received[0], answered[0])}"
        )
        rows += [i for i, e in (received, answered) if e is not None]
    return Answer([asked.say(f"요구 {len(lines)}건", f"{len(lines)} requests"), *lines], sorted(rows)[:SHOWN])


def refusals(entries: Entries, asked: Asked) -> Answer:
    """Say of every refusal, whole or in part, its reason and the day the person was told."""
    lines, rows = list[str](), list[int]()
    for events in _requests(entries).values():
        index, e = events.get("request_answered", (-1, None))
        if e is None or "refused" not in e["code"]:
            continue
        noticed = events["notice_sent"][1] if "notice_sent" in events else e
        why = asked.word(e.get("basis", "")) or "-"
        lines.append(
            asked.say(
                f"{e['as_of']} {asked.word(e['code'])}, 근거 {why}, 통지 {noticed['as_of']}, 기록 {index}",
                f"{e['as_of']} {e['code']}, basis {why}, noticed {noticed['as_of']}, entry {index}",
            )
        )
        rows.append(index)
    return Answer([asked.say(f"거절 {len(lines)}건", f"{len(lines)} found"), *lines], rows[:SHOWN])


def held(entries: Entries, asked: Asked) -> Answer:
    placed: dict[str, tuple[int, Entry, str]] = {}
    for index, e in entries:
        for hold in e.get("hold_ids", ()):
            if e["event"] == "hold_placed":
                placed[hold] = (index, e, asked.say("재검토 없음", "never reviewed"))
            elif e["event"] == "hold_reviewed" and hold in placed:
                words = asked.say(f"{e['as_of']} 재검토", f"reviewed {e['as_of']}")
                placed[hold] = (placed[hold][0], placed[hold][1], words)
            elif e["event"] == "hold_released":
                placed.pop(hold, None)
    lines = []
    for _, e, last in placed.values():
        days, kinds = (date.fromisoformat(asked.on) - date.fromisoformat(e["as_of"])).days, ", ".join(e["hold_kinds"])
        lines.append(
            asked.say(f"{kinds} {e['as_of']}부터 {days}일, {last}", f"{kinds} since {e['as_of']}, {days} days, {last}")
        )
    head = asked.say(f"사람이 설정한 보류 {len(placed)}건", f"{len(placed)} holds placed by hand are active")
    return Answer([head, *lines], [i for i, _, _ in placed.values()][:SHOWN])


def policy_of(entries: Entries, asked: Asked) -> Answer:
    approved: dict[str, str] = {}
    for index, e in entries:
        if e["event"] == "policy_approved":
            approved[e["policy_sha256"]] = asked.say(
                f"{e['as_of']} {e['actor']['role']} 승인, 기록 {index}",
                f"approved {e['as_of']} by {e['actor']['role']}, entry {index}",
            )
        if index == asked.index:
            sha256 = e.get("policy_sha256", asked.say("(이름 없음)", "(none named)"))
            given = approved.get(sha256, asked.say("그 전에 승인 없음", "no approval before it"))
            return Answer([f"{asked.say('보유 일정표', 'schedule')} {sha256}: {given}"], [index])
    raise EvidenceError(f"Entry {asked.index} is not here. Name one of these entries.")


def rule_changes(entries: Entries, asked: Asked) -> Answer:
    """Say which schedules were approved in a period, and how many due dates the last one moves against the first."""
    versions, kept = dict[str, tuple[int, str]](), list[Entry]()
    for index, e in entries:
        if e["event"] == "policy_approved" and e["as_of"] <= asked.until:
            versions[e["policy_sha256"]] = (index, e["as_of"])
        elif e["event"] == "planned":
            kept.append(e)
    before = [v for v, (_, day) in versions.items() if day < asked.on]
    during = {v: found for v, found in versions.items() if found[1] >= asked.on}
    rows = [index for index, _ in during.values()]
    lines = [
        asked.say(f"{day}: 보유 일정표 {v[:12]} 승인", f"{day}: schedule {v[:12]} approved")
        for v, (_, day) in during.items()
    ]
    if not lines:
        period = f"{asked.on} ~ {asked.until}"
        return Answer(
            [
                asked.say(
                    f"{period}: 승인된 보유 일정표 없음",
                    f"no schedule was approved between {asked.on} and {asked.until}",
                )
            ]
        )
    if not before:
        words = asked.say("첫 보유 일정표: 옮겨진 기한 없음", "it is the first schedule: no due date moved")
        return Answer([*lines, words], rows)
    if asked.rules is None:
        return Answer(
            [*lines, asked.say("옮겨진 기한: rules.json이 필요", "which due dates moved: needs rules.json")], rows
        )
    rules, moved = Rules(asked.rules), Counter[str]()
    for e in kept:
        old, new = (rules.judge(e | {"policy_sha256": v}) for v in (before[-1], [*versions][-1]))
        moved[e["rule_id"]] += old != new
    told = [
        asked.say(f"{r}: 기한이 달라진 것 {n}건", f"{n} due dates differ under {r}")
        for r, n in sorted(moved.items())
        if n
    ]
    return Answer(lines + (told or [asked.say("옮겨진 기한 없음", "no due date moved")]), rows)


def notices(entries: Entries, asked: Asked) -> Answer:
    """Say when people were told of a schedule's change and how many days ahead, and of what became of requests."""
    found = list(entries_of(entries, ("notice_sent", "policy_approved")))
    lines = []
    for index, e in found:
        if e["event"] == "policy_approved" and "proof_date" in e:
            ahead = (date.fromisoformat(e["until"]) - date.fromisoformat(e["proof_date"])).days
            lines.append(
                asked.say(
                    f"{e['proof_date']} 정책 변경 고지({e['code']}), {ahead}일 뒤 {e['until']} 시행, 기록 {index}",
                    f"{e['proof_date']} notice of {e['code']}, {ahead} days before it governs on {e['until']}, "
                    f"entry {index}",
                )
            )
        elif e["event"] == "policy_approved":
            lines.append(
                asked.say(
                    f"{e['as_of']} 고지 없이 승인({e.get('code', '-')}), 기록 {index}",
                    f"{e['as_of']} approved without a notice ({e.get('code', '-')}), entry {index}",
                )
            )
    sent = dated(asked, found, ("notice_sent",))
    return Answer([*lines, *sent.lines], [i for i, _ in found][:SHOWN])


def entries_of(entries: Entries, events: tuple[str, ...]) -> Iterator[tuple[int, Entry]]:
    """Yield the entries of some events."""
    return ((i, e) for i, e in entries if e["event"] in events)


def scan(entries: Entries, asked: Asked) -> Answer:
    """Look at every entry here; logs, XCom and tables are what each run's own scan found."""
    size, cleaned, bad, scans, wrong = 0, 0, list[int](), 0, list[int]()
    newest: tuple[int, Entry] | None = None
    for index, e in entries:
        size += 1
        if find_problem(e) is not None:
            bad.append(index)
        if e["event"] == "self_scanned":
            scans, newest = scans + 1, (index, e)
            if e["code"] != "clean":
                wrong.append(index)
        cleaned += e["event"] == "metadata_cleaned"
    lines = [
        asked.say(
            f"기록 {size}건 중 있어서는 안 될 것이 든 기록 {len(bad)}건 (0이어야 함)",
            f"{len(bad)} entries hold something no entry may hold (must be 0), of {size}",
        ),
        asked.say(
            f"로그·Airflow 표·자체 표 점검 {scans}회 중 발견 {len(wrong)}회",
            f"{scans} scans of logs, Airflow's tables and ours; {len(wrong)} of them not clean",
        ),
    ]
    if newest:
        read = ", ".join(f"{name} {n}" for name, n in sorted(newest[1]["counts"].items()))
        lines.append(
            asked.say(
                f"최근 점검: {asked.word(newest[1]['code'])}, {newest[1]['recorded_at']}: {read}",
                f"newest: {newest[1]['code']} at {newest[1]['recorded_at']}: {read}",
            )
        )
    lines.append(
        asked.say(f"Airflow 실행·로그 정리 {cleaned}회", f"Airflow's old runs and logs were cleaned {cleaned} times")
    )
    return Answer(lines, [*bad, *wrong, *([newest[0]] if newest else [])][:SHOWN])


def keys(entries: Entries, asked: Asked) -> Answer:
    used, looked, ended, rows = Counter[str](), Counter[str](), list[str](), list[int]()
    for index, e in entries:
        if e["event"] == "tag_opened":
            looked[f"{e['actor']['role']}:{e['actor']['pseudonym']}"] += 1
        elif e["event"] == "key_destroyed" and "key_epoch" in e:
            code = e.get("code", "destroyed")
            ended.append(
                asked.say(
                    f"키 {e['key_epoch']}년: {e['as_of']} {asked.word(code)}",
                    f"epoch {e['key_epoch']}: {code} on {e['as_of']}",
                )
            )
        elif "key_epoch" in e:
            used[e["key_epoch"]] += 1
            continue
        else:
            continue
        rows.append(index)
    lines = [asked.say(f"키 {k}년: 기록 {n}건", f"epoch {k}: {n} entries") for k, n in sorted(used.items())]
    lines += [asked.say(f"{p}: 태그 조회 {n}건", f"{n} tags opened by {p}") for p, n in sorted(looked.items())]
    return Answer([*lines, *ended], rows[:SHOWN])


RECORDS: dict[str, Question] = {
    "who": Question(
        9, "누가 승인·실행·확인했는가? 같은 사람이 두 번?",
        "Who approved, executed, checked; the same person twice?", who,
    ),
    "requests": Question(10, "접수하고 답변한 요구", "Requests received and answered", requests),
    "refusals": Question(11, "모든 거절과 그 근거, 통지일", "All refusals with their basis and notice date", refusals),
    "holds": Question(12, "모든 보류, 경과일, 마지막 재검토", "All holds, age, last review", held, ("on",)),
    "policy-of": Question(
        18, "이 기록에 적용된 정책 판은?", "Which policy version governed this entry?", policy_of, ("index",)
    ),
    "rule-changes": Question(
        19, "두 날짜 사이에 바뀐 규칙과 옮겨진 기한은?", "What changed between two dates, which due dates moved?",
        rule_changes, ("on", "until"),
    ),
    "notices": Question(20, "7일·30일 전에 고지했는가?", "Which notices were sent ahead, by how many days?", notices),
    "scan": Question(24, "증거에 개인정보가 있는가?", "Is any personal data in the evidence?", scan),
    "keys": Question(
        27, "키 연도: 사용 중, 조회자, 파기된 것",
        "Key epochs: which are used, who looked up, which were destroyed?", keys,
    ),
}  # fmt: skip
"""By command, as `questions.QUESTIONS`."""
