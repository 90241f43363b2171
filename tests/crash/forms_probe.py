"""Try hostile values on the form of every DAG, in a process of its own, and print what would get through, as JSON.

A value gets through when Airflow's check of the schema takes it and `include.forms` does too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from airflow.dag_processing.dagbag import DagBag

from include import forms
from include.errors import DecisionRefused


def passes(name: str, param: Any, value: Any, known: set[str]) -> bool:
    """Return whether a run could be started with this value and would work with it."""
    try:
        param.resolve(value, suppress_exception=False)
        forms.check({name: value}, known)
        if param.schema.get("format") == "date" and value is not None:
            forms.day(name, value)
    except (DecisionRefused, ValueError):
        return False
    except Exception as error:
        # Airflow's own ParamValidationError is none of the above and stands for a refusal.
        return type(error).__name__ != "ParamValidationError"
    return True


def found(hostile: list[Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield every DAG, field and value that got through."""
    bag = DagBag(dag_folder="dags")
    for dag_id, dag in bag.dags.items():
        known = set(dag.params)
        for name in dag.params:
            param = dag.params.get_param(name)
            for value in hostile:
                for shape in (value, [value]):
                    if passes(name, param, shape, known):
                        yield dag_id, name, shape
        for value in hostile:
            try:
                forms.check({str(value): "x"}, known)
                yield dag_id, "(a key of its own)", value
            except DecisionRefused:
                pass
        print(f"FORM{dag_id}:{len(known)}")


print("RESULT" + json.dumps(list(found(json.load(sys.stdin)))))
