"""The trigger form of `erase_account` (계정 파기 요청서): what may be entered, and nothing else.

Everything typed here stays in Airflow's database until the run is purged, so no field takes free text: accounts are
opaque ids, reasons are codes, proofs are reference numbers. The server checks all of it again against these schemas,
and the first task refuses any key that is not here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param

from include import forms
from include.errors import DecisionRefused
from include.forms import ACCOUNT as ACCOUNT

_NUMBER = "(?![0-9]{8,11}$)(?![0-9]+(-[0-9]+)+$)"
END_USER_ID = rf"^{forms.NO_PERSON}{_NUMBER}(?=[A-Za-z._:-]*[0-9])[A-Za-z0-9][A-Za-z0-9_:-]{{0,127}}$"
"""The customer's id of its end user: a digit in it, no @ or dot or blank, nothing shaped like a telephone number."""
REFERENCE = f"^{forms.NO_PERSON}[A-Z0-9][A-Z0-9-]{{3,39}}$"

KINDS = {
    "termination": "가입해지 · Termination of the contract",
    "erasure": "삭제 요구 · Erasure",
    "consent_withdrawal": "동의철회 · Withdrawal of consent (marketing only)",
    "guardian": "법정대리인의 삭제 요구 · Guardian of a child under 14",
    "end_user": "고객사 최종 사용자 · One end user, on the customer's recorded instruction",
    "court_erase": "법원의 삭제 명령 · Order of a court to erase",
    "court_preserve": "법원의 보전 명령 · Order of a court to preserve",
}
CHANNELS = {
    "web": "웹 · Web",
    "email": "이메일 · E-mail",
    "phone": "전화 · Telephone",
    "letter": "서면 · Letter",
    "fax": "팩스 · Fax",
    "in_person": "방문 · In person",
    "court": "법원 · Court or authority",
}
CHECKS = {
    "login": "로그인 상태에서 요청 · Asked while logged in",
    "call_back": "등록된 번호로 회신 · Call back to the registered number",
    "known_facts": "보유 정보 2가지 대조 · Two facts we hold were named",
    "mandate": "위임장 확인 · Agent's mandate checked",
    "order": "명령문 확인 · Order checked with the court",
    "not_proven": "확인 불가 · Not proven (registers the request and does nothing else)",
}
RELATIONS = {
    "none": "해당 없음 · No guardian",
    "family_certificate": "가족관계증명서 열람 · Family certificate seen, not kept",
    "mobile_identity": "휴대전화 본인확인 · Identity confirmed by mobile carrier",
    "phone_call_back": "전화 회신 · Call back",
}
NOTICES = {"mail": "이메일 · E-mail", "post": "우편 · Post", "phone": "전화 · Telephone"}
RECORDS = (
    "adroll/audience", "clarity/recordings", "own_database/access_log", "own_database/account_profile",
    "own_database/billing_contact", "own_database/business_identity", "own_database/contract", "own_database/cookie",
    "own_database/credit_information", "own_database/drm_usage", "own_database/end_user",
    "own_database/end_user_device", "own_database/partner_info", "own_database/payment", "own_database/prize_entry",
    "own_database/support_history", "own_database/watermark_usage", "paper/paper", "s3/live_objects",
    "salesforce/customer", "salesforce/marketing", "stripe/payments", "zendesk/support",
)  # fmt: skip
"""What an order may list; a test compares it with the schedule."""

ORDER, GUARDIAN, END_USER, MORE = (
    "법원 명령 · An order", "법정대리인 · A guardian", "최종 사용자 · An end user", "그 밖 · More",
)  # fmt: skip
"""Folded sections; what every request needs stands in none, so that it is open."""


def _choice(
    titles: Mapping[str, str], default: str | None, title: str, description: str, section: str | None = None
) -> Param:
    given = {} if default is None else {"default": default}
    folded = {"section": section} if section else {}
    return Param(
        **given, **folded, type="string", enum=list(titles), values_display=dict(titles), title=title,
        description_md=description,
    )  # fmt: skip


FORM: dict[str, Any] = {
    "account_id": Param(
        type="string",
        pattern=ACCOUNT,
        title="계정 번호 · Account id",
        description_md=(
            "내부 계정 번호만. 이메일·이름·전화번호는 거부됩니다(찾기: 명령 find). · "
            "The internal id only; e-mails, names and telephone numbers are refused (command find)."
        ),
    ),
    "kind": _choice(
        KINDS, None, "요구 종류 · Kind of request", "무엇이 파기되는지는 보유 기준표가 정합니다. · "
        "The retention schedule says what each kind reaches.",
    ),
    "received_on": Param(
        type="string", format="date", title="접수일 · Received on",
        description_md="답변 기한(10일)이 이 날부터 시작합니다. · The 10-day clock starts on this day.",
    ),
    "channel": _choice(CHANNELS, None, "접수 경로 · Channel", "요청이 들어온 경로. · How it came in."),
    "identity_check": _choice(
        CHECKS, None, "본인 확인 · Identity check", "문서는 보관하지 않습니다. · No document is kept.",
    ),
    "dry_run": Param(
        True, type="boolean", title="미리보기만 · Dry run",
        description_md="켜면 미리보기만 만듭니다. · On: only the preview; nothing changes anywhere.",
    ),
    "records": Param(
        [], type="array", items={"type": "string", "enum": list(RECORDS)}, examples=list(RECORDS), uniqueItems=True,
        title="명령 대상 · Records the order lists",
        description_md="법원 명령에만. 법정 보존 기록 제외. · For an order only; what a law keeps cannot be listed.",
        section=ORDER,
    ),
    "relation_check": _choice(
        RELATIONS, "none", "관계 확인 · Relation check", "증명서 미보관 · No certificate is kept.", GUARDIAN
    ),
    "child_age": Param(
        None, type=["null", "integer"], minimum=0, maximum=18, title="아동의 나이 · Age of the child",
        description_md="요청일 현재 만 나이. · In years, on the day of the request.", section=GUARDIAN,
    ),
    "end_user_id": Param(
        None, type=["null", "string"], pattern=END_USER_ID, title="최종 사용자 번호 · End user's id",
        description_md="고객사가 준 번호만. 이메일·이름·전화번호는 거부. · "
        "The id the customer gave, never an e-mail, a name or a telephone number.", section=END_USER,
    ),
    "instruction": Param(
        None, type=["null", "string"], pattern=REFERENCE, title="고객사 지시 번호 · Instruction's number",
        description_md="고객사 지시의 접수 번호(대문자·숫자). 계정 DB에 기록돼 있으면 비웁니다. · "
        "Reference number of the customer's instruction (capitals, digits); empty where its database records one.",
        section=END_USER,
    ),
    "notice_by": _choice(
        NOTICES, "mail", "결과 통지 · Notice by", "우편·전화는 보낸 뒤 확인. · Post and telephone are attested.", MORE,
    ),
    "as_of": Param(
        None, type=["null", "string"], format="date", title="기준일 · Business date",
        description_md="비우면 오늘(서울). · Empty: today in Seoul.", section=MORE,
    ),
}  # fmt: skip


def checked(conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return the form's values, or raise `DecisionRefused` naming the key that is wrong, never the value."""
    forms.check(conf, FORM)
    values = {}
    for name, param in FORM.items():
        one = Param(conf.get(name, param.value), **param.schema)
        try:
            values[name] = one.resolve()
        except Exception:
            raise DecisionRefused(
                f"{name}: the value does not have the form asked for. Nothing was done; delete this run and use "
                "the form."
            ) from None
    if not re.fullmatch(ACCOUNT, str(values["account_id"])):
        raise DecisionRefused("account_id: not an internal id. Nothing was done.")
    if (values["kind"] == "end_user") != bool(values["end_user_id"]):
        raise DecisionRefused("end_user_id: belongs to a request about one end user, and only there. Nothing was done.")
    if values["kind"] == "guardian" and values["relation_check"] == "none":
        raise DecisionRefused("relation_check: a guardian's relation is checked first. Nothing was done.")
    return values
