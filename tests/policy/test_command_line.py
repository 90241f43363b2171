"""`python -m include.policy`: what a person types, what is printed, and the exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from include.policy import __main__ as command
from include.policy.schedule import PACKAGED, load


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["--trigger", "2026-02-28", "--period", "P6M", "--kind", "max"],
            {
                "trigger": "2026-02-28",
                "period": "P6M",
                "kind": "max",
                "last_day": "2026-08-31",
                "free_from": "2026-09-01",
                "free_from_utc": "2026-08-31T15:00:00Z",
                "destroy_by": "2026-09-05",
            },
        ),
        (
            ["--trigger", "2024-02-29", "--period", "P3Y", "--kind", "min"],
            {
                "trigger": "2024-02-29",
                "period": "P3Y",
                "kind": "min",
                "last_day": "2027-03-02",
                "free_from": "2027-03-03",
                "free_from_utc": "2027-03-02T15:00:00Z",
                "destroy_by": "2027-03-07",
            },
        ),
        (
            ["--trigger", "2026-11-20T18:30+09:00", "--period", "PT72H"],
            {
                "trigger": "2026-11-20T18:30+09:00",
                "period": "PT72H",
                "kind": "max",
                "ends_at_utc": "2026-11-23T09:30:00Z",
                "ends_at": "2026-11-23T18:30:00+09:00",
            },
        ),
    ],
)
def test_explain_prints_one_line_of_json(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: dict[str, str]
) -> None:
    assert command.main(["explain", *arguments]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == expected


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--trigger", "2026-02-30", "--period", "P6M"], "neither a date"),
        (["--trigger", "2026-02-28", "--period", "6M"], "is not a period"),
        (["--trigger", "2026-02-28", "--period", "PT72H"], "starts at a moment"),
        (["--trigger", "2026-02-28T09:00", "--period", "P6M"], "no time zone"),
        (["--trigger", "2049-02-28", "--period", "P6Y", "--kind", "min"], "covers 2000 to 2050"),
        (["--trigger", "0001-01-01", "--period", "P6M"], "1900"),
    ],
)
def test_explain_refuses_in_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str) -> None:
    assert command.main(["explain", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert reason in captured.err


@pytest.fixture
def _modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every processor of the packaged schedule exists, so that only the file is judged here."""
    names = tuple(n for n, section in load().processors.items() if section.module)
    monkeypatch.setattr(command, "_modules", lambda: names)


@pytest.mark.usefixtures("_modules")
def test_lint_says_what_it_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["lint"]) == 0
    out = capsys.readouterr().out
    assert "17 categories, 17 rules, 7 holds, 9 processors" in out
    assert load().sha256 in out


@pytest.mark.usefixtures("_modules")
def test_lint_names_file_key_and_reason_of_every_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    text = PACKAGED.read_text("utf-8").replace("'D-17'", "D-17").replace("[D-17]", "[D-71]")
    file.write_text(text, "utf-8")
    assert command.main(["lint", str(file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith(f"{file}: ") for line in lines)
    assert any("rules[R-10].categories (line" in line and "'D-71' is no category" in line for line in lines)
    assert any("operator_access_log" in line for line in lines)


def test_lint_refuses_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["lint", "nowhere.yaml"]) == 2
    assert capsys.readouterr().err == "nowhere.yaml: (file): cannot be read: No such file or directory\n"


def test_the_module_runs_as_a_command() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "include.policy",
            "explain",
            "--trigger",
            "2026-02-28",
            "--period",
            "P6M",
            "--kind",
            "max",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["destroy_by"] == "2026-09-05"
    assert done.stderr == ""


def test_policy_imports_nothing_of_ours_but_the_errors() -> None:
    program = (
        "import sys, include.policy.planner, include.policy.__main__\n"
        "ours = {m for m in sys.modules if m.startswith('include.') and not m.startswith('include.policy')}\n"
        "assert ours == {'include.errors'}, ours\n"
        "assert not {'boto3', 'airflow', 'sqlalchemy', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
