"""The sheets about disposals: approvals (2), processors' confirmations (5), exceptions (7), paper (8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from include.evidence.lives import OWN_PLACES, Following, Item, Life, kst
from include.evidence.sheets import Row, Sheet, Titles
from include.evidence.words import PROVEN, both


def person(entry: dict[str, object], key: str) -> str:
    """Return a person of an entry, by role and pseudonym."""
    who = entry.get(key)
    return f"{who['role']} {who['pseudonym']}" if isinstance(who, dict) else ""


@dataclass(slots=True)
class _Request:
    """What one run planned at one place under one rule."""

    first: dict[str, object]
    disposals: int = 0
    records: int = 0
    created: set[str] = field(default_factory=set)
    reasons: set[str] = field(default_factory=set)
    due: list[str] = field(default_factory=list)
    methods: set[str] = field(default_factory=set)
    checks: set[str] = field(default_factory=set)


class Requests:
    """개인정보파일 파기 요청서: what each run planned, and the standing approval it was planned under.

    Nightly disposals are requested and approved by schedule: the privacy officer approves the schedule by its digest,
    and each run asks under it. A decision of a person about single disposals is a row of its own.
    """

    sheet = Sheet(
        2,
        "02-destruction-requests",
        "파기 요청서(승인)",
        "destruction requests",
        (
            ("작성일", "prepared on"), ("작성자", "prepared by"), ("파기 대상 개인정보파일", "file to destroy"),
            ("생성일자", "created"), ("처리 건수", "disposals"), ("현재 보관건수", "records found"),
            ("파기 사유", "reason"), ("파기 일정", "destroy between"), ("특기사항", "remarks"),
            ("파기 승인일", "approved on"), ("승인자", "approved by"), ("파기 장소", "place"), ("파기 방법", "method"),
            ("파기 수행자", "carried out by"), ("입회자", "witness"), ("폐기 확인 방법", "how confirmed"),
            ("백업 조치 유무", "backups"), ("매체 폐기 여부", "media destroyed"),
            ("규칙 파일 SHA-256", "schedule sha256"),
        ),
    )  # fmt: skip

    def __init__(self, titles: Titles) -> None:
        self._titles = titles
        self._requests: dict[tuple[str, ...], _Request] = {}
        self._of: dict[str, _Request] = {}
        self._located: set[str] = set()
        self._approvals: dict[str, tuple[str, str]] = {}

    def take(self, item: Item) -> Iterator[Row]:
        """Remember plans and what became of them; yield decisions of people."""
        entry = item.entry
        event = entry["event"]
        if event == "policy_approved":
            self._approvals[entry["policy_sha256"]] = (entry["as_of"], person(entry, "actor"))
        elif event in ("approved", "rejected") and item.shown:
            yield self._decision(entry)
        elif event == "planned" and item.shown:
            self._plan(entry)
        elif item.life is not None:
            self._follow(item)

    def _plan(self, entry: dict[str, object]) -> None:
        names = ("as_of", "processor", "rule_id", "scope", "policy_sha256")
        request = self._requests.setdefault(tuple(str(entry[n]) for n in names), _Request(entry))
        request.disposals += 1
        request.reasons.add(str(entry["trigger_event"]))
        days = sorted([*request.due, str(entry["free_from"]), str(entry["destroy_by"])])
        request.due = [days[0], days[-1]]
        self._of[str(entry["disposal_id"])] = request

    def _follow(self, item: Item) -> None:
        entry, disposal_id = item.entry, item.entry["disposal_id"]
        request = self._of.get(disposal_id)
        if request is None:
            return
        if entry["event"] == "located" and disposal_id not in self._located:
            self._located.add(disposal_id)
            request.records += entry.get("count_before", 0)
        request.created |= {entry[k] for k in ("created_from", "created_to") if k in entry}
        request.methods |= {entry["method"]} if "method" in entry else set()
        if item.closes:
            request.checks |= {entry["verify_method"]} if "verify_method" in entry else set()
            self._located.discard(disposal_id)
            del self._of[disposal_id]

    def _decision(self, entry: dict[str, object]) -> Row:
        processor, scope = str(entry.get("processor", "")), str(entry.get("code", ""))
        return (
            str(entry["as_of"]), self._titles("handler"), self._titles.several(list(entry.get("datasets", []))),  # type: ignore[call-overload]
            "", 1 if entry.get("disposal_id") else 0, "", scope, "", both(str(entry["event"])), str(entry["as_of"]),
            person(entry, "actor"), self._titles.place(processor), "", "", person(entry, "witness"), "", "", "",
            str(entry.get("policy_sha256", "")),
        )  # fmt: skip

    def finish(self, end: Following) -> Iterator[Row]:
        """Yield what every run asked for, oldest first."""
        for request in self._requests.values():
            first = request.first
            sha = str(first["policy_sha256"])
            on, by = self._approvals.get(sha, ("", ""))
            yield (
                str(first["as_of"]), self._titles("handler"), self._titles.several(first["datasets"]),  # type: ignore[arg-type]
                " ~ ".join(sorted({min(request.created), max(request.created)}) if request.created else []),
                request.disposals, request.records,
                self._why(request),
                " ~ ".join(request.due), f"scope {first['scope']}",
                on or "이 내보내기 이전의 승인 · approved before this export", by,
                self._titles.place(str(first["processor"])), ", ".join(map(both, sorted(request.methods))),
                self._titles("handler"), "", ", ".join(sorted(request.checks)), "", "", sha,
            )  # fmt: skip

    def _why(self, request: _Request) -> str:
        rule = str(request.first["rule_id"])
        return f"{rule} {self._titles(rule)} ({', '.join(map(both, sorted(request.reasons)))})"


class Confirmations:
    """수탁사 파기 확인: what each processor was asked, what was read back there, and what it keeps."""

    sheet = Sheet(
        5,
        "05-processor-confirmations",
        "수탁사 파기 확인",
        "processors' confirmations",
        (
            ("수탁사", "processor"), ("자료의 종류", "kind of data"), ("식별 태그", "subject tag"),
            ("계획일", "planned on"), ("요청일", "requested on"), ("확인일", "confirmed on"), ("결과", "result"),
            ("사유 코드", "code"), ("보관 근거", "basis for keeping"), ("기한", "until"), ("파기 기한", "destroy by"),
            ("초과 일수", "days overdue"), ("조치 전 건수", "before"), ("조치 후 건수", "after"),
            ("확인 방법", "verify method"), ("HTTP 상태", "http status"), ("회신 SHA-256", "receipt sha256"),
            ("기록 시각(KST)", "recorded at (KST)"), ("기록 번호", "log index"),
        ),
    )  # fmt: skip

    def __init__(self, titles: Titles) -> None:
        self._titles = titles

    def take(self, item: Item) -> Iterator[Row]:
        """Yield a row when a disposal at a processor ends."""
        life = item.life
        if life is not None and item.closes and item.shown and item.entry["processor"] not in OWN_PLACES:
            yield self._row(life, item.entry["as_of"])

    def finish(self, end: Following) -> Iterator[Row]:
        """Yield what no processor has confirmed."""
        for life in end.open.values():
            if life.entry["processor"] not in OWN_PLACES:
                yield self._row(life, end.last_day)

    def _row(self, life: Life, on: str) -> Row:
        entry = life.entry
        proven = life.state in PROVEN or life.state == "attested"
        return (
            self._titles.place(entry["processor"]), self._titles.several(entry["datasets"]), entry["subject_tag"],
            life.planned_on, life.requested_on, entry["as_of"] if proven else "", both(life.state),
            both(entry.get("code", "")), entry.get("basis", ""), entry.get("until", ""), entry["destroy_by"],
            0 if life.state in ("kept", "expired", "cancelled") else life.days_late(on),
            "" if life.count_before is None else life.count_before, entry.get("count_after", ""),
            entry.get("verify_method", ""), life.http_status or "", life.receipt, kst(entry["recorded_at"]), life.index,
        )  # fmt: skip


class Exceptions:
    """예외·실패·기한초과: everything due that is not destroyed, and what was destroyed late or after failures."""

    sheet = Sheet(
        7,
        "07-exceptions",
        "예외·실패·기한초과",
        "exceptions, failures, lateness",
        (
            ("구분", "what"), ("사유 코드", "code"), ("보류", "holds"), ("처리처", "place"),
            ("자료의 종류", "kind of data"), ("규칙", "rule"), ("식별 태그", "subject tag"),
            ("보유 만료일", "last day"),
            ("파기 기한", "destroy by"), ("초과 일수", "days late"), ("상태 시작일", "since"), ("다음 확인일", "until"),
            ("보관 근거", "basis for keeping"), ("실패 횟수", "failures"), ("기준일", "as of"),
            ("파기 건 번호", "disposal"), ("기록 번호", "log index"),
        ),
    )  # fmt: skip

    def __init__(self, titles: Titles) -> None:
        self._titles = titles

    def take(self, item: Item) -> Iterator[Row]:
        """Yield a row when a disposal ends otherwise than destroyed in time and at the first try."""
        life, on = item.life, item.entry["as_of"]
        if life is None or not item.shown:
            return
        if item.entry["event"] == "reappeared":
            yield self._row("failed", life, on)
        if not item.closes or life.state == "cancelled":
            return
        if life.state not in PROVEN and life.state != "attested":
            yield self._row(life.state, life, on)
        elif life.days_late(on) and life.state != "nothing":
            yield self._row("late", life, on)
        elif life.failures:
            yield self._row("recovered", life, on)

    def finish(self, end: Following) -> Iterator[Row]:
        """Yield everything open."""
        for life in end.open.values():
            yield self._row(life.state, life, end.last_day)

    def _row(self, what: str, life: Life, on: str) -> Row:
        entry = life.entry
        return (
            both(what), both(entry.get("code", "")), ", ".join(map(self._titles, life.hold_kinds)),
            self._titles.place(entry["processor"]), self._titles.several(entry["datasets"]), entry["rule_id"],
            entry["subject_tag"], entry["last_day"], entry["destroy_by"], life.days_late(on), life.since,
            entry.get("until", ""), entry.get("basis", ""), life.failures, on, entry["disposal_id"], life.index,
        )  # fmt: skip


class Paper:
    """종이 파기: every paper register entry that was ordered destroyed, by whom, witnessed by whom."""

    sheet = Sheet(
        8,
        "08-paper",
        "종이 파기",
        "paper destruction",
        (
            ("식별 태그", "subject tag"), ("자료의 종류", "kind of data"), ("규칙", "rule"), ("지시일", "ordered on"),
            ("파기 기한", "destroy by"), ("파기일", "destroyed on"), ("결과", "result"), ("건수", "items"),
            ("파기 방법", "method"), ("파기 수행자", "carried out by"), ("입회자", "witness"),
            ("초과 일수", "days late"),
            ("기록 시각(KST)", "recorded at (KST)"), ("기록 번호", "log index"),
        ),
    )  # fmt: skip

    def __init__(self, titles: Titles) -> None:
        self._titles = titles

    def take(self, item: Item) -> Iterator[Row]:
        """Yield a row when paper is gone; an account without any paper has none."""
        life = item.life
        on_paper = life is not None and item.entry["processor"] == "paper"
        if life is not None and on_paper and item.closes and item.shown and life.state != "nothing":
            yield self._row(life, item.entry["as_of"], done=item.entry["as_of"])

    def finish(self, end: Following) -> Iterator[Row]:
        """Yield what is ordered and not yet attested."""
        for life in end.open.values():
            if life.entry["processor"] == "paper":
                yield self._row(life, end.last_day, done="")

    def _row(self, life: Life, on: str, *, done: str) -> Row:
        entry = life.entry
        return (
            entry["subject_tag"], self._titles.several(entry["datasets"]), entry["rule_id"],
            life.requested_on or life.planned_on, entry["destroy_by"], done, both(life.state),
            "" if life.count_before is None else life.count_before, both(life.method), person(entry, "actor"),
            person(entry, "witness"), life.days_late(on), kst(entry["recorded_at"]), life.index,
        )  # fmt: skip
