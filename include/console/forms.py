"""The form of a DAG as a page shows it: made from the DAG's own params, sent through Airflow's own API.

    fields = forms.fields(ask, "erase_account")              # what Airflow's trigger form would show
    run_id = forms.start(ask, "erase_account", forms.conf_of(ask, fields) | {"account_id": …})

Titles and descriptions are bilingual in the DAG (`한글 · English`). No rule is written twice: Airflow checks each value
against the same schema as in its own form and refuses with 400, the DAG's first task checks again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.console.asking import Ask
from include.errors import DecisionRefused


@dataclass(frozen=True, slots=True)
class Field:
    """One param: what kind of input shows it, and what it starts with."""

    name: str
    title: str
    help: str
    kind: str
    """text, date, number, choice, several or yes_no."""
    value: Any
    choices: Sequence[tuple[str, str]]
    required: bool
    pattern: str
    section: str
    schema: Mapping[str, Any]


def fields(ask: Ask, dag_id: str, *, only: Collection[str] = ()) -> list[Field]:
    """Return the fields of a DAG's form in its order; raise `DecisionRefused` when this person may not see the DAG."""
    status, found = ask.airflow("GET", f"/dags/{dag_id}/details")
    if status != 200:
        raise DecisionRefused(ask.words("form.no_dag", dag=dag_id, status=status))
    return [_field(ask, n, p) for n, p in (found.get("params") or {}).items() if not only or n in only]


def _field(ask: Ask, name: str, param: Mapping[str, Any]) -> Field:
    schema = param.get("schema") or {}
    kinds = schema.get("type", "string")
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    items = schema.get("items") or {}
    allowed = schema.get("enum") or items.get("enum") or []
    shown = schema.get("values_display") or {}
    text = str(schema.get("description_md") or param.get("description") or schema.get("description") or "")
    return Field(
        name=name,
        title=ask.words.half(str(schema.get("title") or name)),
        help=ask.words.half(text),
        kind=_kind(kinds, schema, allowed),
        value=param.get("value"),
        choices=[(str(v), ask.words.half(str(shown.get(v, v)))) for v in allowed if v is not None],
        required="null" not in kinds and "boolean" not in kinds and "array" not in kinds,
        pattern=str(schema.get("pattern") or ""),
        section=ask.words.half(str(schema.get("section") or "")),
        schema=schema,
    )


def _kind(kinds: list[str], schema: Mapping[str, Any], allowed: Sequence[Any]) -> str:
    if "array" in kinds:
        return "several"
    if allowed:
        return "choice"
    if "boolean" in kinds:
        return "yes_no"
    if "integer" in kinds:
        return "number"
    return "date" if schema.get("format") == "date" else "text"


def conf_of(ask: Ask, shown: Sequence[Field]) -> dict[str, Any]:
    """Return what was typed into these fields as a run's configuration; what the form does not know is not taken."""
    return {f.name: _value(ask, f) for f in shown}


def _value(ask: Ask, field: Field) -> Any:
    if field.kind == "several":
        return [v for v in ask.form.get(field.name, ()) if v]
    if field.kind == "yes_no":
        return ask.value(field.name) == "yes"
    text = ask.value(field.name)
    if not text:
        return None if not field.required else ""
    if field.kind == "number":
        if not re.fullmatch(r"-?\d{1,9}", text):
            raise DecisionRefused(ask.words("form.not_number", field=field.title))
        return int(text)
    return text


def start(ask: Ask, dag_id: str, conf: Mapping[str, Any]) -> str:
    """Start a manual run as this person and return its id; raise `DecisionRefused` naming what was refused."""
    status, answer = ask.airflow("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": dict(conf)})
    if status == 200:
        return str(answer["dag_run_id"])
    if status == 403:
        raise DecisionRefused(ask.words("form.not_yours", dag=dag_id))
    raise DecisionRefused(ask.words("form.refused", dag=dag_id, fields=_named(answer, conf)))


def _named(answer: Any, conf: Mapping[str, Any]) -> str:
    """Return the names of the fields Airflow's answer is about; the answer itself quotes what was typed."""
    text = str(answer)
    return ", ".join(n for n in conf if re.search(rf"\bparam '?{re.escape(n)}\b", text)) or "?"
