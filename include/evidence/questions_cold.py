"""What cold storage may be asked beyond its entries of writing and reading: excess items, and keys in backups."""

from __future__ import annotations

from collections import Counter

from include.evidence.questions import Answer, Asked, Entries, Entry, Question


def beyond_list(entries: Entries, asked: Asked) -> Answer:
    """Return what the newest inventory of each law found: every row decrypted and compared with its closed list."""
    newest: dict[str, tuple[int, Entry]] = {}
    for index, e in entries:
        if e["event"] == "archive_inventory" and "rule_id" in e:
            newest[e["rule_id"]] = (index, e)
    lines = [
        f"{rule}: {e['counts']['beyond_list']} of {e['rows']} rows exceed their list, "
        f"{e['counts']['unread']} of {e['counts']['objects']} objects not readable without a restore, "
        f"looked at on {e['as_of']}, entry {index}"
        for rule, (index, e) in sorted(newest.items())
    ]
    none = "no inventory was taken: run `python -m include.archive inventory`"
    return Answer(lines or [none], [index for index, _ in newest.values()][:50])


def keys_in_backups(entries: Entries, asked: Asked) -> Answer:
    """Return the destroyed archive keys that a backup of our database may still hold, and until when."""
    groups: dict[str, tuple[int, Entry]] = {}
    single: dict[str, list[tuple[int, Entry]]] = {}
    for index, e in entries:
        digest = e.get("object_digest", "")
        if e["event"] == "archive_destroyed" and "until" in e:
            groups[digest] = (index, e)
        elif e["event"] == "key_destroyed" and digest and e.get("method") == "crypto_erase":
            if e.get("code") == "accepted":
                single.setdefault(digest, []).append((index, e))
            elif single.get(digest):
                single[digest].pop(0)
        elif e["event"] == "key_destroyed" and digest:
            groups.pop(digest, None)
    left = sorted([*groups.values(), *(x for many in single.values() for x in many)])
    overdue = Counter("overdue" for _, e in left if e["until"] < asked.on)["overdue"]
    lines = [
        f"  {e['rule_id']}: keys of {e.get('subjects', 0)} subjects ({e.get('method', 'delete')}), in database backups "
        f"until {e['until']}, entry {index}"
        for index, e in left
    ]
    head = f"{len(left)} destructions whose keys a backup may still hold on {asked.on}, {overdue} past their date"
    return Answer([head, *lines[:50]], [index for index, _ in left][:50])


COLD: dict[str, Question] = {
    "beyond-list": Question(16, "Do stored items exceed their closed lists (must be none)?", beyond_list),
    "backups": Question(
        22, "Which backups still hold keys of destroyed records, until when?", keys_in_backups, ("on",)
    ),
}
"""By command, as `questions.QUESTIONS`."""
