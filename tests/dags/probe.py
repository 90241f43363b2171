"""Parse the DAG folder in a process of its own and print what Airflow sees, as one line of JSON."""

from __future__ import annotations

import json
import sys

from airflow.dag_processing.dagbag import DagBag

HEAVY = {"pandas", "stripe", "zenpy", "boto3", "simple_salesforce", "matplotlib", "reportlab"}


def answers_with_data(t: object) -> bool | None:
    """Whether a question returns its answer whatever it is; Airflow's own approval skips on and leaves none."""
    from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator

    if not isinstance(t, HITLOperator):
        return None
    return type(t).execute_complete is not ApprovalOperator.execute_complete


def task(t: object) -> dict[str, object]:
    """Return what the tests ask about one task."""
    return {
        "rule": str(getattr(t.trigger_rule, "value", t.trigger_rule)),
        "pool": t.pool,
        "owner": t.owner,
        "up": sorted(t.upstream_task_ids),
        "mapped": bool(getattr(t, "is_mapped", False)),
        "retries": t.retries,
        "defaults": getattr(t, "defaults", None),
        "options": getattr(t, "options", None),
        "keeps_a_rejection": answers_with_data(t),
        "answer_within": within.total_seconds() if (within := getattr(t, "response_timeout", None)) else None,
    }


DagBag(dag_folder="tests/dags/none")  # what Airflow itself imports is not ours
before = set(sys.modules)
bag = DagBag(dag_folder="dags")
dags = {
    dag_id: {
        "tags": sorted(dag.tags),
        "doc": bool(dag.doc_md),
        "start": str(dag.start_date),
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "paused": dag.is_paused_upon_creation,
        "run_types": sorted(str(getattr(t, "value", t)) for t in dag.allowed_run_types or []),
        "access": {
            role: {name: sorted(actions) for name, actions in rights.items()}
            for role, rights in (dag.access_control or {}).items()
        },
        "params": {
            name: {"description": (param := dag.params.get_param(name)).description, **param.schema}
            for name in dag.params
        },
        "leaves": sorted(t.task_id for t in dag.leaves),
        "tasks": {t.task_id: task(t) for t in dag.tasks},
    }
    for dag_id, dag in bag.dags.items()
}
heavy = sorted(HEAVY & (set(sys.modules) - before))
print("RESULT" + json.dumps({"errors": bag.import_errors, "heavy": heavy, "dags": dags}))
