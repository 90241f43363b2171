"""The rooms: imports point downward only, only the upper rooms know Airflow, and parsing a DAG file stays cheap."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = [
    {"include.errors", "include.outcomes"},
    {"include.connections", "include.forms"},
    {"include.database", "include.keys", "include.policy"},
    {"include.evidence", "include.accounts"},
    {"include.processors"},
    {"include.archive"},
    {"include.disposals"},
    {"include.retries", "include.check", "include.metrics"},
    {"include.install"},
    {"include.tasks", "include.console"},
]
KNOW_AIRFLOW = {"include.tasks", "include.retries", "include.console", "include.check", "include.install"}
SEPARATE = {
    "include.policy": {"include.errors"},
    "include.evidence": {"include.errors", "include.connections", "include.database"},
}


def room(module: str) -> str:
    """Return the room a module belongs to: a folder, or a file that is one of its own."""
    return ".".join(module.split(".")[:2])


def imports(path: Path) -> Iterator[str]:
    """Yield every module a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "include")


def files(*folders: str) -> list[Path]:
    """Return the Python files of folders, migrations left out."""
    return [p for f in folders for p in sorted((ROOT / f).rglob("*.py")) if "migrations" not in p.parts]


def floor(name: str) -> int:
    """Return on which floor a room stands."""
    return next(n for n, rooms in enumerate(FLOORS) if name in rooms)


@pytest.mark.parametrize("path", [p for p in files("include") if "sandbox" not in p.parts], ids=str)
def test_a_room_imports_only_rooms_below_it(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    if module == "include.__init__":
        return
    for imported in imports(path):
        target = room(imported)
        if not imported.startswith("include.") or target == room(module):
            continue
        assert target != "include.sandbox", f"{module} imports the sandbox"
        assert floor(target) < floor(room(module)), f"{module} imports {target}, which is not below it"
        if room(module) in SEPARATE:
            assert target in SEPARATE[room(module)], f"{module} imports {target}: it could no longer be lifted out"


@pytest.mark.parametrize("path", files("include"), ids=str)
def test_only_the_upper_rooms_know_airflow(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    if room(module) in KNOW_AIRFLOW or module == "include.sandbox.users":
        return
    assert not [m for m in imports(path) if m.split(".")[0] == "airflow"]


@pytest.mark.parametrize("path", files("dags"), ids=str)
def test_a_dag_file_holds_no_business_rules(path: Path) -> None:
    assert {m.split(".")[0] for m in imports(path)} <= {"airflow", "include", "typing", "__future__"}
    assert not [m for m in imports(path) if m.startswith("include.") and room(m) != "include.tasks"]


def test_no_file_is_longer_than_two_pages_would_hold() -> None:
    alone = {"include/evidence/verify.py"}  # auditors get it as one file
    long = {
        str(p.relative_to(ROOT)): n for p in files("include", "dags") if (n := len(p.read_text().splitlines())) > 420
    }
    assert set(long) <= alone, long
