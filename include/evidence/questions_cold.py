"""What cold storage and backups may be asked, answered as in `questions`."""

from __future__ import annotations

from collections import Counter

from include.evidence.answers import SHOWN, Answer, Asked, Entries, Entry, Question, dated


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
        asked.say(
            f"{r}: 묶음 {len(ends[r])}개, {n}건, 만료 {min(ends[r])} ~ {max(ends[r])}",
            f"{r}: {len(ends[r])} objects, {n} rows, ending {min(ends[r])} to {max(ends[r])}",
        )
        for r, n in sorted(rows.items())
    ]
    batches = sorted((e["rule_id"], e.get("last_day", "?"), e["rows"], i) for i, e in objects.values())
    lines += [
        asked.say(f"  {r}: {day} 만료, {n}건, 기록 {i}", f"  {r}: ends {day}, {n} rows, entry {i}")
        for r, day, n, i in batches[:SHOWN]
    ]
    none = asked.say("분리보관 중인 것 없음", "nothing is in cold storage")
    return Answer(lines or [none], [i for *_, i in batches][:SHOWN])


def cold_reads(entries: Entries, asked: Asked) -> Answer:
    month = asked.on[:7]
    return dated(asked, ((i, e) for i, e in entries if e["as_of"][:7] == month), ("archive_read",))


def outlived(entries: Entries, asked: Asked) -> Answer:
    found = [(i, e) for i, e in _stored(entries).values() if e.get("last_day", "9999") < asked.on]
    lines = [
        asked.say(
            f"  기록 {i}: {e['rule_id']}, 보존 만료일 {e['last_day']}, {e['rows']}건",
            f"  entry {i}: {e['rule_id']}, last day {e['last_day']}, {e['rows']} rows",
        )
        for i, e in found[:SHOWN]
    ]
    head = asked.say(
        f"{asked.on} 현재 모든 보존 근거가 끝난 묶음 {len(found)}개",
        f"{len(found)} archived objects have outlived their basis on {asked.on}",
    )
    return Answer([head, *lines], [i for i, _ in found][:SHOWN])


def beyond_list(entries: Entries, asked: Asked) -> Answer:
    """Return what the newest inventory of each law found: every row decrypted and compared with its closed list."""
    newest: dict[str, tuple[int, Entry]] = {}
    for index, e in entries:
        if e["event"] == "archive_inventory" and "rule_id" in e:
            newest[e["rule_id"]] = (index, e)
    lines = [
        asked.say(
            f"{rule}: {e['rows']}건 중 목록을 벗어난 것 {e['counts']['beyond_list']}건, 복원 없이 읽을 수 없는 묶음 "
            f"{e['counts']['unread']}/{e['counts']['objects']}개, {e['as_of']} 점검, 기록 {index}",
            f"{rule}: {e['counts']['beyond_list']} of {e['rows']} rows exceed their list, "
            f"{e['counts']['unread']} of {e['counts']['objects']} objects not readable without a restore, "
            f"looked at on {e['as_of']}, entry {index}",
        )
        for rule, (index, e) in sorted(newest.items())
    ]
    command = "python -m include.archive inventory"
    none = asked.say(f"점검 기록 없음: `{command}`를 실행하십시오", f"no inventory was taken: run `{command}`")
    return Answer(lines or [none], [index for index, _ in newest.values()][:SHOWN])


def backups(entries: Entries, asked: Asked) -> Answer:
    """Return what backups may still hold, and until when: erased rows of our own places, and destroyed archive keys."""
    groups: dict[str, tuple[int, Entry]] = {}
    single: dict[str, list[tuple[int, Entry]]] = {}
    rows: dict[tuple[str, str], list[int]] = {}
    for index, e in entries:
        digest = e.get("object_digest", "")
        if e.get("backup_expires_on", "") >= asked.on:
            rows.setdefault((e["backup_expires_on"], e.get("processor", "-")), []).append(index)
        if e["event"] == "archive_destroyed" and "until" in e:
            groups[digest] = (index, e)
        elif e["event"] == "key_destroyed" and digest and e.get("method") == "crypto_erase":
            if e.get("code") == "accepted":
                single.setdefault(digest, []).append((index, e))
            elif single.get(digest):
                single[digest].pop(0)
        elif e["event"] == "key_destroyed" and digest:
            groups.pop(digest, None)
    left = sorted([*groups.values(), *(x for many in single.values() for x in many)], key=lambda x: x[0])
    overdue = sum(e["until"] < asked.on for _, e in left)
    lines = [
        asked.say(
            f"  {place}: 파기된 {len(many)}건이 {until}까지 백업에 남을 수 있음, 기록 {many[-1]}",
            f"  {place}: {len(many)} destroyed, in backups until {until}, entry {many[-1]}",
        )
        for (until, place), many in sorted(rows.items())
    ]
    lines += [
        asked.say(
            f"  {e['rule_id']}: 정보주체 {e.get('subjects', 0)}명의 키({e.get('method', 'delete')}), {e['until']}까지 "
            f"데이터베이스 백업에 남을 수 있음, 기록 {index}",
            f"  {e['rule_id']}: keys of {e.get('subjects', 0)} subjects ({e.get('method', 'delete')}), in database "
            f"backups until {e['until']}, entry {index}",
        )
        for index, e in left[:SHOWN]
    ]
    head = [
        asked.say(
            f"{asked.on} 현재 백업에 남을 수 있는 파기 행 {sum(map(len, rows.values()))}건",
            f"{sum(map(len, rows.values()))} destructions whose rows a backup may still hold on {asked.on}",
        ),
        asked.say(
            f"{asked.on} 현재 백업에 남을 수 있는 파기 키 {len(left)}건, 기한 지남 {overdue}건",
            f"{len(left)} destructions whose keys a backup may still hold on {asked.on}, {overdue} past their date",
        ),
    ]
    proven = [many[-1] for _, many in sorted(rows.items())] + [index for index, _ in left]
    return Answer([*head, *lines], sorted(proven)[:SHOWN])


COLD: dict[str, Question] = {
    "cold-storage": Question(
        13, "법령별 분리보관 현황과 만료일은?", "What is in cold storage per law, and when does it end?", cold_storage
    ),
    "cold-reads": Question(
        14, "그 달에 분리보관을 열람한 사람은?", "Who read cold storage in a month?", cold_reads, ("on",)
    ),
    "outlived": Question(
        15, "모든 보존 근거가 끝난 분리보관 기록은?", "Which cold records have outlived every basis?", outlived, ("on",)
    ),
    "beyond-list": Question(
        16, "보관 항목이 K-I/K-B 목록을 벗어나는가? (없어야 함)",
        "Do stored items exceed their closed lists (must be none)?", beyond_list,
    ),
    "backups": Question(
        22, "파기된 정보주체가 남아 있는 백업과 그 기한은?",
        "Which backups still hold destroyed subjects, until when?", backups, ("on",),
    ),
}  # fmt: skip
"""By command, as `questions.QUESTIONS`."""
