"""What the codes of entries are called in Korean and English, for people; an unknown code is shown as it is."""

from __future__ import annotations

LANGUAGES = ("ko", "en")

MEASURES: dict[str, tuple[str, str]] = {
    "destroyed": ("파기 확인", "read back as gone"),
    "nothing": ("보유 없음 확인", "nothing was there"),
    "anonymised": ("익명처리 확인", "read back as anonymised"),
    "attested": ("수기 파기 확인서", "attested by people"),
    "expired": ("보존기간 경과", "lapsed at processor"),
    "kept": ("수탁사 자체 보관", "kept by processor"),
    "retained": ("법령 보존", "kept under a law"),
    "expires": ("자동 소멸 예정", "will lapse"),
    "held": ("보류·차단", "held or blocked"),
    "person": ("사람 처리 대기", "waits for a person"),
    "awaiting": ("기일 대기", "waits for a date"),
    "failed": ("실패", "failed"),
    "underway": ("진행 중", "under way"),
    "cancelled": ("취소", "cancelled"),
}
"""The states a disposal is counted in. Only the first three are proven by reading; each disposal has exactly one."""

PROVEN = ("destroyed", "nothing", "anonymised")

_STATE = {
    "confirmed_absent": "destroyed", "confirmed_anonymised": "anonymised", "manual_attested": "attested",
    "retained_by_processor": "kept", "retained": "retained", "expires_by_processor": "expires", "blocked": "held",
    "manual_pending": "person", "awaiting": "awaiting", "failed": "failed", "reappeared": "failed",
    "cancelled": "cancelled",
}  # fmt: skip

WORDS: dict[str, tuple[str, str]] = {
    "terminated": ("가입해지", "terminated"),
    "requested": ("해지 신청", "requested"),
    "live": ("이용 중", "live"),
    "withheld": ("해지 유보", "withheld"),
    "unplannable": ("계획할 수 없는 날짜", "with a date nobody can plan with"),
    "unlisted": ("조회되지 않음", "not looked at"),
    "consent_withdrawn": ("동의 철회", "consent withdrawn"),
    "event_ended": ("행사 종료", "event ended"),
    "instruction": ("고객사 지시", "customer's instruction"),
    "row_delete": ("행 삭제", "row delete"),
    "api_delete": ("API 삭제", "API delete"),
    "vendor_redaction": ("수탁사 비식별 처리", "vendor redaction"),
    "shred": ("파쇄", "shred"),
    "incinerate": ("소각", "incinerate"),
    "none_located": ("보유 없음", "none located"),
    "ambiguous": ("대상 불명확", "ambiguous"),
    "date_passed": ("기일 경과", "date passed"),
    "open_ticket": ("미종결 상담", "open ticket"),
    "open_complaint": ("미종결 불만·분쟁", "open complaint or dispute"),
    "late_ticket": ("신규 상담 발견", "ticket opened since"),
    "late_complaint": ("미보관 불만·분쟁 발견", "complaint not archived yet"),
    "requester_changed": ("상담 신청인 변경", "ticket became another's"),
    "user_returned": ("재가입 이용자", "user returned"),
    "compliance_deletion": ("수탁사 제품별 삭제 대기", "products still deleting"),
    "compliance_overdue": ("수탁사 삭제 확인 지연", "products overdue"),
    "paper_destruction_order": ("종이 파기 지시", "paper destruction order"),
    "vendor_request_to_send": ("수탁사 요청서 발송 필요", "request to vendor to be sent"),
    "deleted_but_readable": ("삭제 후 휴지통 잔존", "deleted but readable"),
    "court_order": ("법원 명령", "court order"),
    "individual": ("개인", "individual"),
    "business": ("사업자", "business"),
    "end_user": ("최종 사용자", "end user"),
    "child": ("아동", "child"),
    "policy_approved": ("정책·규칙 승인", "policy approved"),
    "notice_sent": ("고지 발송", "notice sent"),
    "stop_set": ("정지 설정", "stop set"),
    "stop_released": ("정지 해제", "stop released"),
    "brake_set": ("제동 설정", "brake set"),
    "brake_released": ("제동 해제", "brake released"),
    "access_digest": ("접속기록 점검", "access log reviewed"),
    "archive_read": ("분리보관 열람", "cold storage read"),
    "tag_opened": ("식별 태그 조회", "subject tag opened"),
    "approved": ("승인", "approved"),
    "rejected": ("반려", "rejected"),
    "termination": ("가입해지", "termination"),
    "erasure": ("삭제", "erasure"),
    "consent_withdrawal": ("동의철회", "consent withdrawal"),
    "guardian": ("법정대리인 요구", "guardian's request"),
    "end_user_instruction": ("고객사 지시", "customer's instruction"),
    "court_erase": ("법원 삭제 명령", "order to erase"),
    "court_preserve": ("법원 보전 명령", "order to preserve"),
    "erasure_requested": ("삭제 요구", "erasure requested"),
    "order_received": ("명령·지시 접수", "order received"),
    "answered": ("답변", "answered"),
    "partly_refused": ("일부 거절", "partly refused"),
    "refused": ("거절", "refused"),
    "withdrawn": ("철회", "withdrawn"),
    "identity_not_proven": ("본인 확인 불가", "identity not proven"),
    "notice_first": ("통지 후 파기", "after the notice"),
    "more_than_approved": ("승인 초과 발견", "more than approved"),
    "not_approved": ("미승인", "not approved"),
    "trigger_undone": ("기산 사유 취소", "its trigger was taken back"),
    "mail": ("이메일", "mail"),
    "post": ("우편", "post"),
    "phone": ("전화", "telephone"),
    "late": ("기한초과 파기", "destroyed late"),
    "recovered": ("실패 후 완료", "done after failures"),
    "kept": MEASURES["kept"],
    "open": ("진행", "open"),
    "placed": ("보류 중", "held"),
    "released": ("해제", "released"),
    "stored": ("보관 중", "stored"),
    "gone": ("파기됨", "destroyed"),
    "yes": ("예", "yes"),
    "no": ("아니오", "no"),
    "unknown": ("확인 불가", "cannot be told here"),
}


def state_of(event: str, *, count_before: int | None, code: str = "") -> str:
    """Return the measure a disposal is counted in when `event` is the last that happened to it."""
    if event == "confirmed_absent" and count_before == 0:
        return "nothing"
    if event == "expires_by_processor" and code == "date_passed":
        return "expired"
    return _STATE.get(event, "underway")


def both(code: str) -> str:
    """Return a code in both languages, `가입해지 · terminated`, or as it is."""
    if code.startswith("hold_h-"):
        return f"보류 {code[5:].upper()} · hold {code[5:].upper()}"
    pair = WORDS.get(code) or MEASURES.get(code) or MEASURES.get(_STATE.get(code, ""))
    return f"{pair[0]} · {pair[1]}" if pair else code


def one(title: str, language: str) -> str:
    """Return one language's half of a bilingual title `한글 · English`; a title without halves as it is."""
    korean, separator, english = title.partition(" · ")
    return (korean if language == "ko" else english) if separator else title
