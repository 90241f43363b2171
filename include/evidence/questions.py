"""The questions an officer or auditor asks of disposals, as pure functions over the entries of a log.

    found = QUESTIONS["late"].answer(source.entries(), Asked(...))
    found.lines, found.rows            # words to print, in Korean or English; log indexes that prove them

Each reads the entries once and remembers only disposals that are still open, and what its answer shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from include.evidence.answers import SHOWN, Answer, Asked, Entries, Entry, Question, dated, lives, rows_of, shown
from include.evidence.verify import DESTROYED, TERMINATED


def was_destroyed(entries: Entries, asked: Asked) -> Answer:
    found = [life for life in lives(entries) if life.last["subject_tag"] in asked.tags]
    if not found:
        return Answer([_nothing(asked, "기록 없음", "no record")])
    return Answer([shown(asked, x) for x in found], [x.index for x in found])


def still_held(entries: Entries, asked: Asked) -> Answer:
    """Say what is open or kept by others, and what the archive keeps under a law of what was destroyed elsewhere."""
    mine = [x for x in lives(entries) if x.last["subject_tag"] in asked.tags]
    held = [x for x in mine if x.last["event"] not in DESTROYED]
    lines = [shown(asked, x) for x in held]
    kept = [(x, e) for x in mine for e in x.kept if e.get("until", "9999") >= asked.on]
    for x, e in kept:
        items = ", ".join([*e.get("items", ()), *filter(None, [e.get("item")])])
        law = " ".join(filter(None, (e.get("rule_id", ""), e.get("law", ""))))
        until = e.get("until", "?")
        lines.append(
            asked.say(
                f"{x.last['processor']}: 법령에 따라 보관 {law}, {items}, {until}까지, 기록 {x.index}",
                f"{x.last['processor']}: kept under {law}: {items}, until {until}, entry {x.index}",
            )
        )
    rows = sorted({x.index for x in held} | {x.index for x, _ in kept})
    return Answer(lines or [_nothing(asked, "보관 중인 것 없음", "nothing known to be held")], rows)


def _nothing(asked: Asked, ko: str, en: str) -> str:
    epochs = ", ".join(asked.epochs) or asked.say("(없음)", "(none)")
    return asked.say(f"{ko}: 키 연도 {epochs}", f"{en} under epochs {epochs}")


def due_not_done(entries: Entries, asked: Asked) -> Answer:
    due = [x for x in lives(entries, until=asked.on) if not x.closed and x.first["free_from"] <= asked.on]
    counts = Counter((x.last["processor"], x.last["event"], x.last.get("code", "")) for x in due)
    head = asked.say(
        f"{asked.on} 현재 파기 대상이나 끝나지 않은 것 {len(due)}건", f"{len(due)} due on {asked.on} and not ended then"
    )
    lines = [f"  {n} {p} {asked.word(e)} {asked.word(c)}".rstrip() for (p, e, c), n in sorted(counts.items())]
    return Answer([head, *lines], rows_of(due))


def late(entries: Entries, asked: Asked) -> Answer:
    found = [
        x
        for x in lives(entries)
        if x.last["event"] in DESTROYED and x.last["as_of"] > x.last["destroy_by"] and x.last["as_of"] >= asked.on
    ]
    head = asked.say(f"파기 기한을 넘겨 파기한 것 {len(found)}건", f"{len(found)} destroyed after their date")
    return Answer([head, *(shown(asked, x) for x in found[:SHOWN])], rows_of(found))


def early(entries: Entries, asked: Asked) -> Answer:
    acts = DESTROYED | {"attempted"}
    found = [(i, e) for i, e in entries if e["event"] in acts and e.get("count_before") != 0 and _is_early(e)]
    lines = [
        asked.say(
            f"  기록 {i}: {e['as_of']} {asked.word(e['event'])}, 파기 가능일 {e['free_from']}",
            f"  entry {i}: {e['event']} on {e['as_of']}, free from {e['free_from']}",
        )
        for i, e in found[:SHOWN]
    ]
    head = asked.say(
        f"보유기간이 끝나기 전의 처리 {len(found)}건 (0이어야 함)",
        f"{len(found)} acts before the period was over (must be 0)",
    )
    return Answer([head, *lines], [i for i, _ in found[:SHOWN]])


def _is_early(entry: Entry) -> bool:
    return "free_from" in entry and entry["as_of"] < entry["free_from"]


def unconfirmed(entries: Entries, asked: Asked) -> Answer:
    waiting = ("attempted", "accepted", "awaiting", "manual_pending", "expires_by_processor", "failed", "reappeared")
    found = [x for x in lives(entries) if not x.closed and x.last["event"] in waiting]
    counts = Counter((x.last["processor"], x.last["event"]) for x in found)
    lines = [f"{p}: {n} {asked.word(e)}" for (p, e), n in sorted(counts.items())]
    return Answer(lines or [asked.say("모든 처리처가 확인함", "every processor confirmed")], rows_of(found))


def paper(entries: Entries, asked: Asked) -> Answer:
    ends = (*DESTROYED, "manual_attested")
    return dated(asked, ((i, e) for i, e in entries if e.get("processor") == "paper" and e["event"] in ends), ends)


def restores(entries: Entries, asked: Asked) -> Answer:
    """Say when something was restored, who came back with it, and whether those are erased again."""
    told: list[tuple[int, Entry]] = []

    def watched() -> Iterator[tuple[int, Entry]]:
        for index, e in entries:
            if e["event"] in ("restored", "reappeared", "sighting_decided"):
                told.append((index, e))
            yield index, e

    newest = {life.last["disposal_id"]: life.closed for life in lives(watched())}
    back = {e["disposal_id"] for _, e in told if e["event"] == "reappeared"}
    again = sum(newest[d] for d in back)
    still = len(back) - again
    times = sum(e["event"] == "restored" for _, e in told)
    head = asked.say(
        f"복원 {times}회, 재출현 {len(back)}건: 다시 파기 {again}, 진행 중 {still}",
        f"{times} restores, {len(back)} disposals reappeared: {again} carried out again, {still} under way",
    )
    events = ("restored", "reappeared", "sighting_decided")
    lines = dated(asked, told, events)
    return Answer([head, *lines.lines[1 : SHOWN + 1]], lines.rows)


def corrections(entries: Entries, asked: Asked) -> Answer:
    found = [x for x in lives(entries) if not x.closed and x.last.get("code") == "hold_h-5"]
    head = asked.say(
        f"정정 처리 중이라 멈춘 파기 {len(found)}건", f"{len(found)} disposals wait for a pending correction"
    )
    return Answer([head, *(shown(asked, x) for x in found[:SHOWN])], rows_of(found))


def end_users(entries: Entries, asked: Asked) -> Answer:
    found = [x for x in lives(entries) if x.last["rule_id"] == "R-12"]
    counts = Counter(x.last["event"] for x in found)
    lines = [f"{n} {asked.word(e)}" for e, n in sorted(counts.items())]
    lines = lines or [asked.say("기한이 된 최종 사용자 자료 없음", "no end-user data fell due")]
    return Answer([*lines, *(shown(asked, x) for x in found[:SHOWN] if not x.closed)], rows_of(found))


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
    names = {"source": "원장", "reconciled": "대사"}
    lines = [
        asked.say(f"{e['as_of']} {names.get(code, code)}: ", f"{code} on {e['as_of']}: ")
        + ", ".join(f"{n} {asked.word(k)}" for k, n in e["counts"].items())
        for code, (_, e) in sorted(counted.items(), reverse=True)
    ]
    if "reconciled" in counted:
        counts = counted["reconciled"][1]["counts"]
        right = counts["terminated"] == sum(counts[c] for c in TERMINATED)
        terms = " + ".join(f"{counts[c]} {asked.word(c)}" for c in TERMINATED)
        sign = "=" if right else asked.say("≠ (맞지 않음)", "IS NOT")
        lines.append(f"{counts['terminated']} {asked.word('terminated')} {sign} {terms}")
    held = {x.last["subject_tag"] for x in still if x.last["event"] == "blocked"}
    open_ = {x.last["subject_tag"] for x in still}
    lines.append(
        asked.say(
            f"현재 기록: 진행 중인 정보주체 {len(open_)}명, 그중 보류 {len(held)}명",
            f"in the log now: {len(open_)} subjects with something open, {len(held)} of them held",
        )
    )
    return Answer(lines, [index for index, _ in counted.values()])


def run_of(entries: Entries, asked: Asked) -> Answer:
    """Say what one run destroyed, whose (by tag), since when it could be known, and when 72 hours end."""
    mine = [(i, e) for i, e in entries if e.get("run", {}).get("run_id") == asked.run_id]
    gone = [(i, e) for i, e in mine if e["event"] in DESTROYED]
    if not gone:
        return Answer(
            [
                asked.say(
                    f"실행 {asked.run_id}: 기록 {len(mine)}건 중 파기 없음",
                    f"run {asked.run_id} destroyed nothing in {len(mine)} entries",
                )
            ]
        )
    known = datetime.fromisoformat(min(e["recorded_at"] for _, e in gone))
    end, subjects = known + timedelta(hours=72), {e["subject_tag"] for _, e in gone}
    counts = Counter((e["processor"], c) for _, e in gone for c in e["categories"])
    lines = [f"{n} {p} {c}" for (p, c), n in sorted(counts.items())]
    lines += [
        asked.say(
            f"정보주체 {len(subjects)}명; 첫 기록 {known:%Y-%m-%dT%H:%M:%SZ}",
            f"{len(subjects)} subjects; first recorded {known:%Y-%m-%dT%H:%M:%SZ}",
        ),
        asked.say(f"그로부터 72시간: {end:%Y-%m-%dT%H:%M:%SZ}", f"72 hours from then end {end:%Y-%m-%dT%H:%M:%SZ}"),
    ]
    return Answer(lines + sorted(subjects), [i for i, _ in gone][:SHOWN])


QUESTIONS: dict[str, Question] = {
    "was-destroyed": Question(
        1, "이 계정은 언제, 어디서, 어떤 규칙으로 파기되었는가?",
        "Was this account destroyed, where, when, under which rule?", was_destroyed, ("tags",),
    ),
    "still-held": Question(
        2, "이 계정에서 아직 보관 중인 것은? (시스템, 법령, 만료일)",
        "What is still held on this account, by system, law, end date?", still_held, ("tags",),
    ),
    "due-not-done": Question(
        3, "그 날짜에 파기 대상이었으나 파기되지 않은 것과 이유는?",
        "What was due on a date and is not destroyed, and why?", due_not_done, ("on",),
    ),
    "late": Question(
        4, "만료 후 5일을 넘겨 파기한 것은?", "Which items were destroyed later than 5 days after expiry?", late
    ),
    "early": Question(
        5, "보유기간 만료 전에 파기한 것은? (없어야 함)",
        "Which were destroyed before their last day (must be none)?", early,
    ),
    "unconfirmed": Question(6, "아직 확인하지 않은 수탁사는?", "Which processors have not confirmed?", unconfirmed),
    "paper": Question(
        21, "종이 파기: 누가 파기하고 누가 입회했는가?", "Paper destroyed, by whom, witnessed by whom?", paper
    ),
    "restores": Question(
        23, "마지막 복원 뒤 파기를 다시 적용했는가?",
        "After the last restore, what reappeared or was applied again?", restores,
    ),
    "corrections": Question(25, "정정 처리 중인 것은?", "What waits for a pending correction?", corrections),
    "end-users": Question(
        26, "고객사 계약 종료: 최종 사용자 자료는 파기되었는가?",
        "Customer contract ended: end-user data destroyed?", end_users,
    ),
    "reconcile": Question(
        28, "원장의 해지 수 = 파기 + 보류 + 보관 + 기한 미도래",
        "Source terminations against what became of them", reconcile,
    ),
    "run": Question(
        30, "이 실행이 파기한 것, 누구의 것, 안 시점, 72시간 기한은?",
        "What did this run destroy, whose, when known, 72 hours?", run_of, ("run_id",),
    ),
}  # fmt: skip
"""By command; 7 and 8 (`not-rewritten`, `prove-row`) need the tree, not the entries, and stand in `ask`."""
