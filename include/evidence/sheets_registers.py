"""The registers: separate storage (3), holds (4), people's requests (6), schedule and notices (9), access logs (10)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from include.evidence.lives import Following, Item, kst
from include.evidence.sheets import Row, Sheet, Titles
from include.evidence.sheets_disposals import person
from include.evidence.words import both


class Storage:
    """분리보관 현황: every object of the statutory archive, under which law, from when until when."""

    sheet = Sheet(
        3,
        "03-separate-storage",
        "분리보관 현황",
        "separate storage",
        (
            ("규칙", "rule"), ("자료의 종류", "kept records"), ("법적 근거", "legal basis"),
            ("보존 항목", "kept items"),
            ("건수", "rows"), ("정보주체 수", "subjects"), ("보관 시작일", "kept since"), ("보존 만료일", "last day"),
            ("파기 기한", "destroy by"), ("잠금 해제(KST)", "locked until (KST)"), ("저장소", "store"),
            ("상태", "state"), ("파기일", "destroyed on"), ("열람 횟수", "times read"), ("열람자", "readers"),
            ("개체 SHA-256", "object sha256"), ("기록 번호", "log index"),
        ),
    )  # fmt: skip

    def __init__(self, titles: Titles) -> None:
        self._titles = titles
        self.objects: dict[str, dict[str, Any]] = {}

    def take(self, item: Item) -> Iterator[Row]:
        """Remember an object's life; yield those destroyed in the period."""
        entry = item.entry
        if not entry["event"].startswith("archive_"):
            return
        digests = [entry["object_digest"]] if "object_digest" in entry else entry.get("object_digests", [])
        for digest in digests:
            kept = self.objects.setdefault(digest, {"entry": entry, "index": item.index, "reads": 0, "readers": set()})
            if entry["event"] == "archive_written":
                kept |= {"entry": entry, "index": item.index}
            elif entry["event"] == "archive_read":
                kept["reads"] += 1
                kept["readers"].add(person(entry, "actor"))
            elif entry["event"] == "archive_destroyed":
                kept["gone"] = entry["as_of"]
                if item.shown:
                    yield self._row(digest, kept)
                del self.objects[digest]

    def finish(self, end: Following) -> Iterator[Row]:
        """Yield what is stored, by law and end."""
        stored = self.objects.items()
        for digest, kept in sorted(stored, key=lambda x: (x[1]["entry"].get("rule_id", ""), x[1]["index"])):
            yield self._row(digest, kept)

    def _row(self, digest: str, kept: dict[str, Any]) -> Row:
        entry = kept["entry"]
        rule, gone = entry.get("rule_id", ""), kept.get("gone", "")
        items = {code for e in entry.get("exceptions", []) for code in e.get("items", [])}
        return (
            rule, self._titles(rule), self._titles.law(rule),
            ", ".join(sorted(items)) or self._titles.by_code.get(f"items:{rule}", ""), entry.get("rows", ""),
            entry.get("subjects", ""), entry["as_of"] if entry["event"] == "archive_written" else "",
            entry.get("last_day", ""), entry.get("destroy_by", ""), kst(entry.get("retain_until", "")),
            entry.get("storage_class", ""), both("gone" if gone else "stored"), gone, kept["reads"],
            ", ".join(sorted(kept["readers"])), digest, kept["index"],
        )  # fmt: skip


class Holds:
    """보류 현황: holds that people placed, and disposals that a fact in the company's books blocks."""

    sheet = Sheet(
        4,
        "04-holds",
        "보류 현황",
        "holds",
        (
            ("보류 종류", "kind"), ("사유 코드", "reason code"), ("식별 태그", "subject tag"), ("보류 번호", "hold"),
            ("설정일", "placed on"), ("설정자", "placed by"), ("검토 기한", "review due"),
            ("최근 검토일", "reviewed on"),
            ("해제일", "released on"), ("해제자", "released by"), ("상태", "state"), ("경과 일수", "age in days"),
            ("막은 파기 건수", "disposals blocked"), ("처리처", "places"), ("기록 번호", "log index"),
        ),
    )  # fmt: skip

    def __init__(self, titles: Titles) -> None:
        self._titles = titles
        self.placed: dict[str, dict[str, Any]] = {}

    def take(self, item: Item) -> Iterator[Row]:
        """Remember holds; yield those released in the period."""
        entry, event = item.entry, item.entry["event"]
        if not event.startswith("hold_"):
            return
        for hold_id in entry["hold_ids"]:
            hold = self.placed.setdefault(hold_id, {"entry": entry, "index": item.index, "reviewed": "", "by": ""})
            if event == "hold_placed":
                hold |= {"entry": entry, "index": item.index, "by": person(entry, "actor")}
            elif event == "hold_reviewed":
                hold |= {"reviewed": entry["as_of"], "until": entry.get("until", "")}
            elif event == "hold_released":
                if item.shown:
                    yield self._row(hold_id, hold, on=entry["as_of"], released=entry)
                del self.placed[hold_id]

    def finish(self, end: Following) -> Iterator[Row]:
        """Yield the holds that stand, then what is blocked by the books, by subject and kind."""
        for hold_id, hold in self.placed.items():
            yield self._row(hold_id, hold, on=end.last_day, released={})
        blocked: dict[tuple[str, tuple[str, ...]], list[Any]] = {}
        for life in end.open.values():
            if life.hold_kinds:
                blocked.setdefault((life.entry["subject_tag"], life.hold_kinds), []).append(life)
        for (tag, kinds), lives in blocked.items():
            first = min(lives, key=lambda life: life.index)
            yield (
                ", ".join(map(self._kind, kinds)), both(first.entry.get("code", "")), tag, "",
                first.since, "장부의 사실 · a fact in the books", "", "", "", "", both("placed"),
                _days(first.since, end.last_day), len(lives),
                ", ".join(sorted({self._titles.place(life.entry["processor"]) for life in lives})), first.index,
            )  # fmt: skip

    def _kind(self, kind: str) -> str:
        title = self._titles.by_code.get(kind, "")
        return f"{kind} {title}" if title else kind

    def _row(self, hold_id: str, hold: dict[str, Any], *, on: str, released: dict[str, Any]) -> Row:
        entry = hold["entry"]
        placed = entry["as_of"] if entry["event"] == "hold_placed" else ""
        return (
            ", ".join(map(self._kind, entry["hold_kinds"])), both(entry.get("code", "")), entry["subject_tag"], hold_id,
            placed, hold["by"], hold.get("until", "") or entry.get("until", ""), hold["reviewed"],
            released.get("as_of", ""), person(released, "actor"), both("released" if released else "placed"),
            _days(placed, on) if placed else "", "", "", hold["index"],
        )  # fmt: skip


def _days(start: str, end: str) -> int:
    return (date.fromisoformat(end) - date.fromisoformat(start)).days


@dataclass(frozen=True, slots=True)
class _Asked:
    entry: dict[str, Any]
    index: int


class Requests:
    """권리행사 처리대장: every request of a person, when it was due and how it was answered."""

    sheet = Sheet(
        6,
        "06-requests",
        "권리행사 처리대장",
        "requests of data subjects",
        (
            ("식별 태그", "subject tag"), ("접수일", "received"), ("접수 경로", "channel"), ("요구 종류", "kind"),
            ("법정대리인", "guardian"), ("처리 기한", "due"), ("답변일", "answered"), ("처리 일수", "days"),
            ("결과", "result"), ("거절 근거", "basis for refusal"), ("처리자", "handled by"),
            ("기록 번호", "log index"),
        ),
    )  # fmt: skip

    def __init__(self, titles: Titles) -> None:
        self._open: dict[str, list[_Asked]] = {}

    def take(self, item: Item) -> Iterator[Row]:
        """Remember a request; yield it when it is answered."""
        entry = item.entry
        if entry["event"] == "request_received":
            self._open.setdefault(entry["subject_tag"], []).append(_Asked(entry, item.index))
        elif entry["event"] == "request_answered":
            waiting = self._open.get(entry["subject_tag"], [])
            asked = waiting.pop(0) if waiting else None
            if item.shown:
                yield self._row(asked, entry, item.index)

    def finish(self, end: Following) -> Iterator[Row]:
        """Yield what is not answered."""
        for waiting in self._open.values():
            for asked in waiting:
                yield self._row(asked, {}, asked.index)

    def _row(self, asked: _Asked | None, answer: dict[str, Any], index: int) -> Row:
        received = asked.entry if asked else {}
        either = received or answer
        answered, on = answer.get("as_of", ""), received.get("as_of", "")
        return (
            either["subject_tag"], on, received.get("basis", ""), both(received.get("code", "")),
            both("yes" if either.get("subject_type") == "child" else "no"),
            received.get("until", "") or received.get("destroy_by", ""), answered,
            _days(on, answered) if on and answered else "", both(answer.get("code", "open")), answer.get("basis", ""),
            person(answer, "actor"), index,
        )  # fmt: skip


class Policies:
    """정책·규칙 변경과 고지: which schedule governed from when, by whose approval; stops, brakes and notices."""

    sheet = Sheet(
        9,
        "09-policy-and-notices",
        "정책·규칙 변경과 고지",
        "schedule changes and notices",
        (
            ("일자", "date"), ("구분", "what"), ("사유 코드", "code"), ("결정자", "by"), ("식별 태그", "subject tag"),
            ("규칙 파일 SHA-256", "schedule sha256"), ("직전 규칙 파일 SHA-256", "schedule before"),
            ("방침 본문 SHA-256", "policy text sha256"), ("기록 시각(KST)", "recorded at (KST)"),
            ("기록 번호", "log index"),
        ),
    )  # fmt: skip
    events = frozenset({"policy_approved", "notice_sent", "stop_set", "stop_released", "brake_set", "brake_released"})

    def __init__(self, titles: Titles) -> None:
        self._before = ""

    def take(self, item: Item) -> Iterator[Row]:
        """Yield a row for each decision and notice."""
        entry = item.entry
        if entry["event"] not in self.events:
            return
        if item.shown:
            yield (
                entry["as_of"], both(entry["event"]), both(entry.get("code", "")), person(entry, "actor"),
                entry.get("subject_tag", ""), entry.get("policy_sha256", ""),
                self._before if entry["event"] == "policy_approved" else "", entry.get("policy_text_sha256", ""),
                kst(entry["recorded_at"]), item.index,
            )  # fmt: skip
        if entry["event"] == "policy_approved":
            self._before = entry["policy_sha256"]

    def finish(self, end: Following) -> Iterator[Row]:
        """Yield nothing more."""
        yield from ()


class Access:
    """접속기록 점검: digests of the access logs, readings of cold storage and openings of subject tags."""

    sheet = Sheet(
        10,
        "10-access-log-review",
        "접속기록 점검",
        "access-log review",
        (
            ("일자", "date"), ("구분", "what"), ("수행자", "by"), ("승인자", "approved by"), ("사유 코드", "code"),
            ("건수", "count"), ("식별 태그", "subject tag"), ("개체 SHA-256", "object sha256"),
            ("접속기록 SHA-256", "access log sha256"), ("기록 시각(KST)", "recorded at (KST)"),
            ("기록 번호", "log index"),
        ),
    )  # fmt: skip

    def __init__(self, titles: Titles) -> None:
        self._titles = titles

    def take(self, item: Item) -> Iterator[Row]:
        """Yield a row for each access that was recorded."""
        entry = item.entry
        if entry["event"] not in ("access_digest", "archive_read", "tag_opened") or not item.shown:
            return
        yield (
            entry["as_of"], both(entry["event"]), person(entry, "actor"), person(entry, "approver"),
            both(entry.get("code", "")), sum(entry["counts"].values()) if "counts" in entry else entry.get("rows", 1),
            entry.get("subject_tag", "") or entry.get("archive_tag", ""), entry.get("object_digest", ""),
            entry.get("receipt_sha256", ""), kst(entry["recorded_at"]), item.index,
        )  # fmt: skip

    def finish(self, end: Following) -> Iterator[Row]:
        """Yield nothing more."""
        yield from ()
