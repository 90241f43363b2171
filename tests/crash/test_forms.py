"""The form of every DAG against what must never be typed there: e-mails, names, free text, keys nobody asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include import forms
from include.errors import DecisionRefused

ROOT = Path(__file__).parents[2]
ID = "00000000-0000-4000-8000-000000000001"
HOSTILE = [
    "target.person@example.com", "target.person%40example.com@example.com", "Targeta Sample", "김표본", "김 표본",
    "010-0000-0001", "01000000001", "000-00-00000", "free text about somebody", "a\nb", "1\n", "acct-1\n", f"{ID}\n",
    "2026-11-24\n", "２０２６-11-24", "１２３", "acct-１", "\u202eacct-1",
    "acct\u200b-1", "acct-1\x00", "\x00", "1\u2028", "A" * 10_000, "1" * 10_000, "' OR '1'='1", "{{ var.value.x }}",
    "<script>1</script>", "../../etc/passwd", "", " ", "-1", "NaN", "ﬁ1", "\u212a1", "\u017f1", "２",
    "e-0001\n", "operator:é-1",
]  # fmt: skip
"""Among them a Kelvin sign and a long s, which fold to ASCII letters where case is ignored."""


def test_no_form_takes_what_no_field_asks_for(tmp_path: Path) -> None:
    env = {**os.environ, "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PYTHONPATH": str(ROOT)}
    env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{tmp_path}/none.db"
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.forms_probe"], cwd=ROOT, env=env, input=json.dumps(HOSTILE),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    told = next((x for x in lines if x.startswith("RESULT")), None)
    assert told, done.stderr[-2000:]
    assert len([x for x in lines if x.startswith("FORM")]) == len(list((ROOT / "dags").glob("*.py")))
    assert json.loads(told.removeprefix("RESULT")) == []


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text())))
def test_a_check_either_passes_plain_text_or_refuses_without_repeating_it(conf: dict[str, object]) -> None:
    refused = ""
    try:
        forms.check(conf, [*conf])
    except DecisionRefused as error:
        refused = str(error)
    texts = [v for v in conf.values() if isinstance(v, str)]
    assert not any(len(t) > 12 and t in refused for t in texts)
    assert refused or all(t.isascii() and "@" not in t and "\n" not in t for t in texts)


@pytest.mark.parametrize(
    "text", ["2026-W48-2", "20261124", "2026-330", "２０２６-11-24", "2026-11-24\n", "", "0000-01-01"]
)
def test_a_date_is_written_in_one_way(text: str) -> None:
    with pytest.raises(DecisionRefused, match="as_of: not a date"):
        forms.day("as_of", text)
    assert forms.day("as_of", "2026-11-24").isoformat() == "2026-11-24"


@given(st.text(min_size=1))
def test_an_unknown_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(DecisionRefused) as refused:
        forms.check({"x" * 20 + key: "1"}, ["as_of"])
    assert "x" * 20 not in str(refused.value)
