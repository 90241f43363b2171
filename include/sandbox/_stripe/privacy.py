"""Redaction jobs of the Stripe stand-in (preview API): validate, run, and blank everything below a root for good.

`validation_behavior=error` is played in full; `fix` overlooks what it could detach or cancel by itself. A job moves on
when it has been read `job_reads` times in a state.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from werkzeug.wrappers import Request, Response

from include.sandbox._stripe.shapes import page
from include.sandbox._stripe.wire import CANNOT_REDACT_AGAIN, Bad, missing, paged, parse_form, unrecognized
from include.sandbox.standin import Frame, Route, json_reply

JOBS = "/v1/privacy/redaction_jobs"
ROOTS = {
    "charges": "charge",
    "checkout_sessions": "checkout_session",
    "customers": "customer",
    "invoices": "invoice",
    "payment_intents": "payment_intent",
    "setup_intents": "setup_intent",
}
MAX_IDS = 10
YOUNG_SECONDS = 90 * 86400
FINAL_INTENTS = frozenset({"succeeded", "canceled"})
OPEN_DISPUTES = frozenset(
    {
        "warning_needs_response", "warning_under_review", "needs_response", "under_review",
        "appeal_needs_response", "appeal_under_review",
    }
)  # fmt: skip
PERSONAL = frozenset(
    {
        "billing_details", "customer_address", "customer_details", "customer_email", "customer_name", "customer_phone",
        "customer_shipping", "description", "email", "evidence", "individual_name", "business_name", "name", "phone",
        "receipt_email", "shipping", "address", "memo", "value",
    }
)  # fmt: skip

ROUTES = (
    Route("GET", JOBS, "list_jobs"),
    Route("POST", JOBS, "create_job"),
    Route("GET", f"{JOBS}/<key>", "show_job"),
    Route("POST", f"{JOBS}/<key>/validate", "validate_job"),
    Route("POST", f"{JOBS}/<key>/run", "run_job"),
    Route("POST", f"{JOBS}/<key>/cancel", "cancel_job"),
    Route("GET", f"{JOBS}/<key>/validation_errors", "list_job_errors"),
)


class Redaction(Frame):
    """The redaction jobs of one account; mixed into the stand-in."""

    job_reads: int = 1
    """How often a job must be read before it leaves `validating` and `redacting`."""

    @property
    def redaction_enabled(self) -> bool:
        """Whether Stripe has switched redaction on for this account."""
        return bool((self.store.get("_settings", "redaction") or {"enabled": True})["enabled"])

    @redaction_enabled.setter
    def redaction_enabled(self, value: bool) -> None:
        self.store.put("_settings", "redaction", {"id": "redaction", "enabled": value})
        self.store.commit()

    # -- routes ----------------------------------------------------------------------------------------------------
    def list_jobs(self, request: Request) -> Response:
        """Answer GET /v1/privacy/redaction_jobs."""
        self._enabled(request)
        rows = [self._shown(job) for job in self.store.all("redaction_job")]
        return json_reply(200, paged(rows, parse_form(request.query_string.decode()), JOBS))

    def create_job(self, request: Request) -> Response:
        """Answer POST /v1/privacy/redaction_jobs: the job validates itself at once."""
        self._enabled(request)
        params = parse_form(request.get_data(as_text=True))
        wanted = params.get("objects") or {}
        if not isinstance(wanted, dict) or not wanted or set(wanted) - set(ROOTS):
            raise Bad(400, "parameter_missing", "Missing or unknown objects.", param="objects")
        ids = [(root, key) for root, keys in wanted.items() for key in keys]
        if len(ids) > MAX_IDS:
            raise Bad(400, None, f"You can redact at most {MAX_IDS} objects in one job.", param="objects")
        for root, key in ids:
            if self.store.get(ROOTS[root], key) is None:
                raise missing(ROOTS[root], key, param=f"objects[{root}]", status=400)
            if self._in_live_job(root, key):
                raise Bad(400, None, f"The object {key} {CANNOT_REDACT_AGAIN}.")
        job = {
            "id": f"prj_{self.store.next_id('redaction_job'):08d}",
            "object": "privacy.redaction_job",
            "created": int(self.now().timestamp()),
            "livemode": False,
            "objects": {root: list(keys) for root, keys in wanted.items()},
            "status": "created",
            "validation_behavior": params.get("validation_behavior", "error"),
            "_reads": 0,
            "_errors": [],
        }
        self.store.put("redaction_job", job["id"], job)
        for root, key in ids:
            self.store.put("_in_job", f"{root} {key}", {"job": job["id"]})
        reply = json_reply(200, self._shown(job))
        self.store.update("redaction_job", job["id"], status="validating")
        return reply

    def show_job(self, request: Request, key: str) -> Response:
        """Answer GET of one job; time passes while one looks."""
        job = self._job(request, key)
        return json_reply(200, self._shown(self._advance(job)))

    def validate_job(self, request: Request, key: str) -> Response:
        """Answer POST …/validate: only a failed job validates again."""
        job = self._job(request, key, allowed={"failed"})
        return json_reply(
            200, self._shown(self.store.update("redaction_job", job["id"], status="validating", _reads=0))
        )

    def run_job(self, request: Request, key: str) -> Response:
        """Answer POST …/run: from `ready` only, and for good."""
        job = self._job(request, key, allowed={"ready"})
        return json_reply(200, self._shown(self.store.update("redaction_job", job["id"], status="redacting", _reads=0)))

    def cancel_job(self, request: Request, key: str) -> Response:
        """Answer POST …/cancel."""
        job = self._job(request, key, allowed={"ready", "failed"})
        return json_reply(200, self._shown(self.store.update("redaction_job", job["id"], status="canceled")))

    def list_job_errors(self, request: Request, key: str) -> Response:
        """Answer GET …/validation_errors."""
        job = self._job(request, key)
        params = parse_form(request.query_string.decode())
        return json_reply(200, paged(job["_errors"], params, f"{JOBS}/{key}/validation_errors"))

    # -- how a job goes --------------------------------------------------------------------------------------------
    def _enabled(self, request: Request) -> None:
        if not self.redaction_enabled or not request.headers.get("Stripe-Version", "").endswith(".preview"):
            raise unrecognized(request)

    def _job(self, request: Request, key: str, allowed: set[str] | None = None) -> dict[str, Any]:
        self._enabled(request)
        job = self.store.get("redaction_job", key)
        if job is None:
            raise missing("redaction_job", key)
        if allowed is not None and job["status"] not in allowed:
            raise Bad(400, None, f"The redaction job cannot do this in status {job['status']}.")
        return job

    def _in_live_job(self, root: str, key: str) -> bool:
        note = self.store.get("_in_job", f"{root} {key}")
        job = self.store.get("redaction_job", note["job"]) if note else None
        return job is not None and job["status"] != "canceled"

    def _shown(self, job: Mapping[str, Any]) -> dict[str, Any]:
        shown = {key: value for key, value in job.items() if not key.startswith("_")}
        url = f"{JOBS}/{job['id']}/validation_errors"
        return {**shown, "validation_errors": page(job["_errors"][:10], url, more=len(job["_errors"]) > 10)}

    def _advance(self, job: dict[str, Any]) -> dict[str, Any]:
        if job["status"] not in {"validating", "redacting"}:
            return job
        job = self.store.update("redaction_job", job["id"], _reads=job["_reads"] + 1)
        if job["_reads"] < self.job_reads:
            return job
        if job["status"] == "redacting":
            for kind, row in list(self._below(job)):
                self.store.put(kind, row["id"], redacted(row))
            return self.store.update("redaction_job", job["id"], status="succeeded")
        errors = [
            {
                "id": f"prjve_{job['id'][4:]}{number:04d}",
                "object": "privacy.redaction_job_validation_error",
                "code": code,
                "erroring_object": {"id": key, "object_type": kind},
                "message": message,
            }
            for number, (code, kind, key, message) in enumerate(self._errors(job))
        ]
        return self.store.update("redaction_job", job["id"], status="failed" if errors else "ready", _errors=errors)

    def _below(self, job: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield every object the roots of a job pull in."""
        roots = {(ROOTS[root], key) for root, keys in job["objects"].items() for key in keys}
        customers = {key for kind, key in roots if kind == "customer"}
        intents = {key for kind, key in roots if kind == "payment_intent"}
        charges = {key for kind, key in roots if kind == "charge"}
        for kind in (
            "charge", "checkout_session", "credit_note", "customer", "invoice", "payment_intent", "payment_method",
            "setup_intent", "source", "subscription", "tax_id",
        ):  # fmt: skip
            for row in self._pulled(kind, customers, intents, roots):
                if kind == "charge":
                    charges.add(row["id"])
                yield kind, row
        for kind in ("dispute", "refund"):
            for key in sorted(charges):
                yield from ((kind, row) for row in self.store.where(kind, "charge", key))

    def _pulled(
        self, kind: str, customers: set[str], intents: set[str], roots: set[tuple[str, str]]
    ) -> list[dict[str, Any]]:
        """Return the objects of a kind that are roots or belong (or once belonged) to one."""
        rows = [self.store.get(kind, key) for root, key in sorted(roots) if root == kind]
        for key in sorted(customers):
            rows += self.store.where(kind, "customer", key)
            rows += [row for row in self.store.where(kind, "_was_of", key) if not row.get("customer")]
        for key in sorted(intents):
            rows += self.store.where(kind, "payment_intent", key)
        return list({row["id"]: row for row in rows if row is not None}.values())

    def _errors(self, job: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
        now = self.now().timestamp()
        for kind, row in self._below(job):
            message = self._complaint(kind, row, now, fix=job["validation_behavior"] == "fix")
            if message:
                yield "invalid_state", kind, row["id"], message

    def _complaint(self, kind: str, row: Mapping[str, Any], now: float, *, fix: bool) -> str | None:
        status = row.get("status")
        young = now - int(row.get("created") or 0) < YOUNG_SECONDS
        if (kind == "charge" and young) or (kind == "payment_intent" and status == "succeeded" and young):
            return "The transaction is less than 90 days old."
        if kind == "invoice" and status in {"draft", "open"}:
            return "Invoice is not finalized. Pay or void the invoice."
        if kind == "dispute" and status in OPEN_DISPUTES:
            return "Dispute is still open."
        if kind == "payment_intent" and status not in FINAL_INTENTS and not fix:
            return "PaymentIntent is not finalized. Confirm or cancel the payment intent."
        if kind == "payment_method" and row.get("customer") and not fix:
            return "PaymentMethod is attached to a customer. Detach the payment method."
        if kind == "subscription" and status not in {"canceled", "incomplete_expired"} and not fix:
            return "Subscription is not canceled."
        return None


def redacted(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with every personal value replaced by `[redacted]`."""
    result = copy.deepcopy(dict(row))
    if result.get("deleted") is not True:
        for key in PERSONAL & set(result):
            result[key] = _blank(result[key])
        if "metadata" in result:
            result["metadata"] = {}
    result["_redaction"] = "redacted"  # shown by preview versions only, which nothing here asks for
    return result


def _blank(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _blank(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_blank(below) for below in value]
    return None if value is None else "[redacted]"
