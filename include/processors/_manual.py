"""What a person must do where no call can: the text to send or order, and the proof that closes it.

The texts name nobody. Whoever sends one attaches what `python -m include.disposals vendor-request` prints from the
opened locators, outside our logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ATTESTED = "attested"
"""The proof closes the disposal; nothing can be read back."""
READ_AGAIN = "read_again"
"""The place can be read: the proof is kept, and only the next read-back closes the disposal."""
NOTED = "noted"
"""The proof answers the request; the disposal goes on to its own date."""

VENDORS_NUMBER = r"[A-Za-z0-9][A-Za-z0-9/#-]{3,39}"
REPORT_NUMBER = r"[A-Z]{2,5}-20\d\d-\d{1,6}"


@dataclass(frozen=True, slots=True)
class ManualRequest:
    """One kind of request: to whom, in which words, and what must come back.

    `methods` says what each method's proof does; `reference` is the pattern of the proof's number; `by_box` splits the
    request into one order a box, each with a proof of its own. `attach` names what of a locator says whom it is about
    (`account_id`: our id is the place's key too); empty means all of it.
    """

    code: str
    to: str
    subject: str
    body: str
    proof: tuple[str, ...]
    methods: Mapping[str, str]
    reference: str = VENDORS_NUMBER
    witness: bool = False
    by_box: bool = False
    attach: tuple[str, ...] = ()

    def written(self, *, request_id: str, due: str) -> tuple[str, str]:
        """Return subject and body of one request."""
        values = {"request_id": request_id, "due": due}
        return self.subject.format(**values), self.body.format(**values)


REQUESTS: Mapping[str, ManualRequest] = {
    request.code: request
    for request in (
        ManualRequest(
            code="vendor_request_to_send",
            to="dpo@nextroll.com (or the form at nextroll-privacy.relyance.ai)",
            subject="Erasure request {request_id} under the data processing terms",
            body=(
                "첨부한 사람들의 정보를 수탁사로서 파기하고 {due}까지 요청 번호 {request_id}를 적어 서면으로 "
                "회신하도록 요청합니다. "
                "We act as controller of the CRM audience data you process for us. We removed the persons listed in "
                "the attachment from our lists. Please delete, including hashed values, deactivated lists and derived "
                "audiences, everything you hold of them as our processor, and confirm in writing by {due}, quoting "
                "{request_id}. Please name anything you keep as a controller of your own, with basis and period."
            ),
            proof=("the sent request with its date", "the vendor's written confirmation quoting the request id"),
            methods={"vendor_confirmation": ATTESTED},
            attach=("segments",),
        ),
        ManualRequest(
            code="not_deleted_by_us",
            to="clarityms@microsoft.com",
            subject="Request {request_id}: remove labels and favourites, confirm retention",
            body=(
                "프로젝트에서 해당 사용자의 녹화에 붙은 라벨과 즐겨찾기를 지우고, 보유 기간에 따라 소멸하는지 "
                "{due}까지 {request_id}로 확인받습니다. "
                "In the project, remove labels and favourite marks from recordings of the users concerned, so that "
                "they lapse after 30 days instead of 13 months. Please confirm by {due}, quoting {request_id}, that "
                "recordings and click data lapse by your published schedule, backups included."
            ),
            proof=("who removed labels and favourites, and when", "the vendor's reply, if there is one"),
            methods={"labels_removed": NOTED, "vendor_confirmation": NOTED},
            attach=("account_id",),
        ),
        ManualRequest(
            code="redaction_not_enabled",
            to="privacy@stripe.com, or support in the Stripe Dashboard",
            subject="Request {request_id}: redaction of payment data on our account",
            body=(
                "첨부한 고객은 삭제했으나 결제·청구서에 정보가 남아 있습니다. 당사 계정에 redaction 기능을 열거나 "
                "해당 건을 직접 가린 뒤 {due}까지 {request_id}로 회신하고, 자체 의무로 보관하는 항목의 근거와 기간을 "
                "밝혀 주십시오. "
                "We deleted the customers listed in the attachment; their payments, invoices and PaymentIntents still "
                "show whose they were. Please enable redaction jobs on our account, or redact these objects for us, "
                "and confirm by {due}, quoting {request_id}. Please name what you keep under your own duties, with "
                "basis and period."
            ),
            proof=("that redaction jobs are enabled (the next night then redacts), or Stripe's written confirmation",),
            methods={"redaction_enabled": READ_AGAIN, "vendor_confirmation": ATTESTED},
            attach=("customers", "gone", "charges", "intents", "invoices"),
        ),
        ManualRequest(
            code="store_erasure_order",
            to="the owner of the store that the entry's basis names",
            subject="파기 지시 {request_id} / erasure order {request_id}",
            body=(
                "첨부한 계정의 모든 자료를 {due}까지 복구할 수 없게 삭제하고 조회 결과(0건)를 회신하십시오. "
                "Erase everything of the attached accounts from this store by {due} so that it cannot be restored, "
                "look again, and answer with what the look found, quoting {request_id}."
            ),
            proof=(
                "the command or procedure used, and when",
                "the empty result of looking again",
                "the last day on which a backup of the store may hold it",
            ),
            methods={"deleted_and_looked_again": ATTESTED},
            reference=REPORT_NUMBER,
            attach=("account_id",),
        ),
        ManualRequest(
            code="paper_destruction_order",
            to="records office",
            subject="파기 지시 {request_id} / destruction order {request_id}",
            body=(
                "다음 상자의 해당 문서를 {due}까지 파쇄 또는 소각하고 입회자와 함께 서명하십시오. "
                "Shred or burn the papers of the listed boxes by {due}, with a witness, and sign the report."
            ),
            proof=(
                "method and date per box",
                "names of executor and witness, two people",
                "the signed report's number",
            ),
            methods={"shred": ATTESTED, "incinerate": ATTESTED},
            reference=REPORT_NUMBER,
            witness=True,
            by_box=True,
            attach=("places", "papers"),
        ),
        ManualRequest(
            code="shared_records",
            to="Salesforce administrator",
            subject="Salesforce {request_id}: 공유 기록에서 이름 제거 / records shared with others",
            body=(
                "다른 고객과 함께 쓰이는 기록에 이 사람의 정보가 남아 있습니다. {due}까지 해당 부분을 지우거나, 다른 "
                "사람의 기록이라 둘 수밖에 없는 사유를 확인하십시오. 지운 것은 다음 실행이 다시 읽어 확인합니다. "
                "Records shared with other customers still name the person. Remove that part by {due}, or attest that "
                "what is left is the other person's. What was removed is read back by the next run."
            ),
            proof=("the change's ticket number", "who did it and when"),
            methods={"removed": READ_AGAIN, "belongs_to_others": ATTESTED},
            attach=("shared",),
        ),
        ManualRequest(
            code="history_residue",
            to="Salesforce administrator",
            subject="Salesforce {request_id}: 필드 이력 삭제 / field history",
            body=(
                "필드 이력에 이전 값이 남아 있습니다. {due}까지 이력을 삭제하십시오. 다음 실행이 다시 읽어 확인합니다. "
                "Field history keeps old values. Delete it by {due}; the next run reads it back."
            ),
            proof=("the change's ticket number", "who did it and when"),
            methods={"removed": READ_AGAIN, "vendor_confirmation": ATTESTED},
            attach=("rows",),
        ),
        ManualRequest(
            code="attachment_on_closed_ticket",
            to="Zendesk administrator",
            subject="Zendesk {request_id}: 종결 티켓의 첨부 / attachments on closed tickets",
            body=(
                "다른 사람의 종결 티켓에 이 사람의 첨부 파일이 남아 있습니다. {due}까지 관리자가 지우십시오. "
                "다음 실행이 다시 읽어 확인합니다. "
                "Attachments of the person are left on other people's closed tickets. An administrator removes them by "
                "{due}; the next run reads them back."
            ),
            proof=("the change's ticket number", "who did it and when"),
            methods={"removed": READ_AGAIN, "vendor_confirmation": ATTESTED},
        ),
    )
}
"""By the code of the outcome that asks for it."""
