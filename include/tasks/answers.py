"""Tasks around the register of requests: answering one by hand, and forgetting what a run's form still holds.

A run's configuration names the account. A policy number of days after the certificate (`requests.conf_days`) the whole
run is deleted through Airflow's own REST API, which takes its configuration, XComs, task instances and approvals along.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

from airflow.sdk import Param, get_current_context, task

from include import forms, tasks
from include.errors import ConfigurationError, Unreachable
from include.tasks import connection, opened

if TYPE_CHECKING:
    import httpx

    from include.connections import Connection

REQUEST = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
DECISIONS = {
    "refused": "거절 · Refused",
    "withdrawn": "철회 · Withdrawn by the person",
    "identity_not_proven": "본인 확인 불가 · Identity not proven",
    "answered": "보유 없음 답변 · Answered: nothing is held any more",
    "confirmed": "접수 확인 통지 · Confirmed: the person was told that it came in (it stays open)",
}
REASONS = {
    "none": "해당 없음 · None",
    "statutory_minimum": "법령상 보존 의무 · A law orders keeping it",
    "contract_in_force": "계약 이행에 필요 · The running contract needs it",
    "not_a_child": "법정대리권 없음 · No guardian's right",
    "no_instruction": "고객사 지시 없음 · No instruction of the customer",
    "on_hold": "보류 중 · On hold",
}
LAWS = {
    "none": "해당 없음 · None",
    "pipa_36_1": "개인정보 보호법 36(1) · PIPA 36(1)",
    "pipa_37_2": "개인정보 보호법 37(2) · PIPA 37(2)",
    "pipa_38_2": "개인정보 보호법 38(2) · PIPA 38(2)",
    "pipa_26_5": "개인정보 보호법 26(5) · PIPA 26(5)",
}
OBJECTIONS = {
    "none": "해당 없음 · None",
    "privacy_officer": "개인정보 보호책임자 · The privacy officer",
    "mediation_committee": "개인정보 분쟁조정위원회 · Mediation committee",
    "privacy_call_centre": "개인정보침해신고센터 · Privacy call centre",
}
FORM: dict[str, Any] = {
    "request_id": Param(type="string", pattern=REQUEST, title="요청 번호 · Request number"),
    **{
        name: Param(
            **({} if name == "decision" else {"default": "none"}), type="string", enum=list(titles),
            values_display=dict(titles), title=title,
        )
        for name, titles, title in (
            ("decision", DECISIONS, "결정 · Decision"),
            ("reason_code", REASONS, "거절 사유 · Reason"),
            ("law", LAWS, "근거 법령 · Law"),
            ("objection", OBJECTIONS, "이의 제기 방법 · Route of objection"),
        )
    },
}  # fmt: skip


@task(retries=0)
def conclude() -> str:
    """Close a request of which nothing was released, with its reason code, law and route of objection."""
    from include.disposals import approvals, requests

    context_ = get_current_context()
    forms.check(context_["dag_run"].conf, FORM)
    given = {name: value for name, value in context_["params"].items() if value != "none"}
    with opened({"run_id": "", "as_of": _today()}) as context:
        by = approvals.staff(str(context_["dag_run"].triggering_user_name or ""), "operator", context.wrapper)
        if given["decision"] == "confirmed":
            requests.confirm(context, UUID(given["request_id"]), by=by)
            return "confirmed"
        requests.conclude(
            context,
            UUID(given["request_id"]),
            given["decision"],
            by=by,
            reason_code=given.get("reason_code"),
            law=given.get("law"),
            objection=given.get("objection"),
        )
    return str(given["decision"])


def _today() -> str:
    return str(tasks.business_date().isoformat())


@task(task_id="forget_ids")
def forget_ids() -> int:
    """Clear the account ids that no request needs any more; return how many."""
    from include.disposals import request_events, requests

    with opened({"run_id": "", "as_of": _today()}) as context:
        with context.engine.connect() as transaction:
            ended = sorted(request_events.terminations(transaction))
        known = [f.account_id for f in context.accounts.facts(ended) if f.terminated_on is None]
        return requests.forget(context, known)


@task(task_id="forget_names")
def forget_names() -> int:
    """Replace login names in approvals that are over longer than the policy's days by pseudonyms; return how many."""
    from include.disposals import approvals
    from include.policy.answers import section

    with opened({"run_id": "", "as_of": _today()}) as context:
        days = section(context.schedule).names_days
        return approvals.forget_names(context, datetime.now(UTC) - timedelta(days=days))


@task(task_id="forget_runs")
def forget_runs(dag_id: str = "erase_account") -> int:
    """Delete the runs whose certificate (without one: whose end) is older than the policy's days; return how many."""
    from include.disposals import requests
    from include.policy.answers import section

    with opened({"run_id": "", "as_of": _today()}) as context:
        days = section(context.schedule).conf_days
        before = datetime.now(UTC) - timedelta(days=days)
        keep = requests.runs_to_keep(context, before)
    gone = 0
    with _airflow(connection("airflow_api")) as api:
        for run in list(_ended(api, dag_id, before)):
            if run not in keep:
                reply = api.delete(f"/api/v2/dags/{dag_id}/dagRuns/{quote(run, safe='')}")
                if reply.status_code not in (204, 404):
                    raise Unreachable("airflow_api", "run_not_deleted", status=reply.status_code)
                gone += 1
    return gone


def _ended(api: httpx.Client, dag_id: str, before: datetime) -> Iterator[str]:
    """Yield the ids of the runs that ended before a moment."""
    offset = 0
    while True:
        params: dict[str, str | int] = {"end_date_lte": before.isoformat(), "limit": 100, "offset": offset}
        reply = api.get(f"/api/v2/dags/{dag_id}/dagRuns", params=params)
        if reply.status_code != 200:
            raise Unreachable("airflow_api", "runs_not_listed", status=reply.status_code)
        page = reply.json()["dag_runs"]
        yield from (str(run["dag_run_id"]) for run in page if run["state"] in ("success", "failed"))
        offset += len(page)
        if not page or offset >= reply.json()["total_entries"]:
            return


@contextmanager
def _airflow(found: Connection) -> Iterator[httpx.Client]:
    """Yield a client of Airflow's REST API as the user of a connection; a token, never a session."""
    import httpx

    with httpx.Client(base_url=found.endpoint_url or f"http://{found.host}:{found.port}", timeout=30) as client:
        try:
            reply = client.post("/auth/token", json={"username": found.login, "password": found.password})
            if reply.status_code not in (200, 201):
                raise ConfigurationError("Connection airflow_api: Airflow refuses login and password. Correct them.")
            client.headers["Authorization"] = f"Bearer {reply.json()['access_token']}"
            yield client
        except httpx.HTTPError:
            raise Unreachable("airflow_api", "unreachable") from None
