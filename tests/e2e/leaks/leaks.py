"""A DAG that does everything wrong: whatever its form says ends up in every place where Airflow keeps things."""

from __future__ import annotations

import logging

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Asset, dag, get_current_context, task

WHERE = Asset("leaked")


@dag(schedule=None, is_paused_upon_creation=False)
def leaks() -> None:
    """Leak."""

    @task
    def say(email: str, name: str) -> None:
        logger = logging.getLogger("a.vendors.sdk")  # at a level that Airflow writes; DEBUG it leaves out by default
        logger.info('http://127.0.0.1:1 "GET /api/v2/search?query=email%%3A%s HTTP/1.1" 200', email.replace("@", "%40"))
        logger.info("customer %s", name)

    @task
    def push(phone: str) -> str:
        return phone  # "Returned value was: …"

    @task(outlets=[WHERE])
    def tell(number: str, login: str, *, outlet_events: dict) -> None:  # type: ignore[type-arg]
        outlet_events[WHERE].extra = {"object": number}
        get_current_context()["task_state_store"].set("login", login)

    ask = ApprovalOperator(
        task_id="ask", subject="Erase {{ dag_run.conf['email'] }}?", body="{{ dag_run.conf['phone'] }}"
    )
    said = say("{{ dag_run.conf['email'] }}", "{{ dag_run.conf['name'] }}")
    told = tell("{{ dag_run.conf['object'] }}", "{{ dag_run.conf['login'] }}")
    said >> push("{{ dag_run.conf['phone'] }}") >> told >> ask


leaks()
