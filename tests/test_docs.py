"""What the documents tell people to type exists, and what people set or are alerted to is documented."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from include import install, metrics, processors

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / n for n in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted((ROOT / "docs").glob("*.md"))
MAKEFILE = (ROOT / "Makefile").read_text()
SERVICES = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
COMPOSE = {"build", "run", "up", "ps", "exec", "logs", "down"}


def commands() -> Iterator[tuple[str, str]]:
    """Yield page and command of every line in a fenced `sh` block, and of every inline `python -m …` and `make …`."""
    for page in PAGES:
        text = page.read_text()
        for block in re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                yield page.name, line.strip()
        outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        for code in re.findall(r"`([^`\n]+)`", outside):
            if re.match(r"((\.venv/bin/)?python -m include\.[a-z_.]+|make [a-z]+|docker compose )", code):
                yield page.name, code


ALL = sorted(set(commands()))


def words(command: str) -> list[str]:
    """Return the words of a command without comment, pipes before it, and variables set for it."""
    parts = shlex.split(command, comments=True)
    if "|" in parts:
        parts = parts[len(parts) - parts[::-1].index("|") :]
    while parts and re.fullmatch(r"[A-Z_]+=.*", parts[0]):
        parts = parts[1:]
    return parts


def inner(parts: list[str]) -> list[str]:
    """Return what runs inside a container, after checking the service; an empty list where nothing is named."""
    rest = [p for p in parts[2:] if p not in ("-d", "--rm", "-T")]
    if rest[0] == "--profile":
        assert any(rest[1] in s.get("profiles", ()) for s in SERVICES.values())
        rest = rest[2:]
    assert rest[0] in COMPOSE, rest
    if rest[0] in ("run", "exec"):
        assert rest[1] in SERVICES, f"no service {rest[1]}"
        return rest[2:]
    if rest[0] == "logs":
        assert rest[1] in SERVICES
    return []


def help_of(module: str, *subcommand: str) -> str:
    """Return the help of a module's command, run as a person would."""
    out, code, before = io.StringIO(), None, sys.argv
    sys.argv = [module, *subcommand, "--help"]
    try:
        with contextlib.redirect_stdout(out), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            runpy.run_module(module, run_name="__main__", alter_sys=False)
    except SystemExit as ended:
        code = ended.code
    finally:
        sys.argv = before
    assert not code, f"{module} {' '.join(subcommand)} is no command"
    return out.getvalue()


def check_module(parts: list[str]) -> None:
    module, rest = parts[2], parts[3:]
    text = help_of(module)
    subcommand: list[str] = []
    named = rest[:2] if rest[:1] == ["ask"] else rest[:1]
    while rest and re.fullmatch(r"[a-z][a-z0-9-]*", rest[0]) and re.search(rf"[{{,\s]{re.escape(rest[0])}\b", text):
        subcommand.append(rest.pop(0))
        text = help_of(module, *subcommand)
    bare = [w for w in named if re.fullmatch(r"[a-z][a-z0-9-]*", w)]
    assert bare == subcommand[: len(bare)], f"{module} has no command {bare}"
    for option in (w for w in rest if w.startswith("--")):
        assert option in text, f"{module} {' '.join(subcommand)} has no {option}"


@pytest.mark.parametrize(("page", "command"), ALL, ids=[f"{p}: {c}"[:90] for p, c in ALL])
def test_a_command_in_a_document_is_one_that_exists(page: str, command: str) -> None:
    parts = words(command.replace("…", ""))
    if parts[:2] == ["docker", "compose"]:
        parts = inner(parts)
    if not parts:
        return
    if parts[0] == "make":
        assert re.search(rf"^{re.escape(parts[1])}:", MAKEFILE, re.MULTILINE), f"no target {parts[1]}"
    elif parts[0].endswith(("python", "python3")) and parts[1] == "-m":
        check_module(parts)
    else:
        assert parts[0] in ("airflow", "pg_dump"), f"{page}: who tries {command!r}?"


def test_every_airflow_command_in_a_document_is_one_airflow_accepts() -> None:
    found = []
    for _, command in ALL:
        parts = words(command)
        if parts[:2] == ["docker", "compose"]:
            parts = inner(parts)
        if parts[:1] == ["airflow"]:
            found.append(parts[1:])
    assert found
    parse = (
        "import json, sys\nfrom airflow.cli import cli_parser\nparser = cli_parser.get_parser()\n"
        "for command in json.loads(sys.argv[1]): parser.parse_args(command)"
    )
    auth = {"AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"}
    done = subprocess.run(
        [sys.executable, "-c", parse, json.dumps(found)],
        env={**os.environ, **auth}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(there), f"{page.name}: {target}"


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_every_environment_variable_the_code_reads_is_documented_and_no_other() -> None:
    code = [p for f in ("include", "dags") for p in (ROOT / f).rglob("*.py")]
    code += [ROOT / "docker-compose.yaml", ROOT / "Dockerfile", ROOT / "Makefile"]
    read = {n for p in code for n in re.findall(r"\bRETENTION_[A-Z_]+\b(?<!_DB)", p.read_text())}
    told = set(re.findall(r"`(RETENTION_[A-Z_]+)", (ROOT / "docs" / "configuration.md").read_text()))
    assert told == read


def test_every_connection_is_documented() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    table = text[text.index("| connection |") : text.index("## The retention schedule")]
    told = {n for row in re.findall(r"^\| (`[^|]+)", table, re.MULTILINE) for n in re.findall(r"`([a-z0-9_]+)`", row)}
    assert told == {*install.STORES, *install.KEYS, *processors.names(), "smtp_default", "airflow_api", "evidence_tsa"}


def test_every_option_of_a_processor_is_documented() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    for path in sorted((ROOT / "include" / "processors").glob("*.py")):
        for option in re.findall(r"settings\.get\(\"([a-z_]+)\"", path.read_text()):
            if option == "voice":  # Zendesk's own account settings
                continue
            assert f"`{option}`" in text, f"{path.name} reads {option}"


def test_every_alert_has_a_runbook_that_says_whether_the_clock_starts() -> None:
    page = ROOT / "docs" / "runbooks.md"
    text = page.read_text()
    clock = text[text.index("| alert |") : text.index("## promised_not_proven")]
    for name in (*metrics.NAMES, "night_late", "report_failed"):
        assert f"\n## {name}\n" in text
        assert f"`{name}`" in clock


def test_every_metric_is_documented() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    source = (ROOT / "include" / "metrics.py").read_text() + (ROOT / "include" / "tasks" / "alerts.py").read_text()
    names = {
        name for name in re.findall(r"\"retention\.([a-z_.]+)[\"{]", source) if not name.endswith((".stripe", "."))
    }
    parts = {f"{name}.P" for name in re.findall(r"^        \"([a-z]+)\": ", source, re.MULTILINE)} | {"quota_ahead.P.Q"}
    assert {"due.P", "overdue.P"} <= parts
    for name in names | parts:
        assert f"{name}`" in text, name


def test_both_languages_of_the_compliance_guide_say_as_much() -> None:
    text = (ROOT / "docs" / "compliance-guide.md").read_text()
    english, korean = text[text.index("## English") : text.index("## 한국어")], text[text.index("## 한국어") :]
    for mark in ("\n### ", "\n| ", "```sh", "\n1. ", "]("):
        assert english.count(mark) == korean.count(mark), mark
