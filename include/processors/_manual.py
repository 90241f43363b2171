"""What a person must do where no call can: the text to send or order, and the proof that closes it.

The texts name nobody. Whoever sends one adds the addresses or boxes from the opened locator, outside our logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ManualRequest:
    """One kind of request: to whom, in which words, and what must come back."""

    code: str
    to: str
    subject: str
    body: str
    proof: tuple[str, ...]

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
                "We act as controller of the CRM audience data you process for us. We removed the persons listed in "
                "the attachment from our lists. Please delete, including hashed values, deactivated lists and derived "
                "audiences, everything you hold of them as our processor, and confirm in writing by {due}, quoting "
                "{request_id}. Please name anything you keep as a controller of your own, with basis and period."
            ),
            proof=("the sent request with its date", "the vendor's written confirmation quoting the request id"),
        ),
        ManualRequest(
            code="not_deleted_by_us",
            to="clarityms@microsoft.com",
            subject="Request {request_id}: remove labels and favourites, confirm retention",
            body=(
                "In the project, remove labels and favourite marks from recordings of the users concerned, so that "
                "they lapse after 30 days instead of 13 months. Please confirm by {due}, quoting {request_id}, that "
                "recordings and click data lapse by your published schedule, backups included."
            ),
            proof=("who removed labels and favourites, and when", "the vendor's reply, if there is one"),
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
                "the signed report's digest",
            ),
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
        ),
    )
}
"""By the code of the outcome that asks for it."""
