"""The file Airflow imports in every component: cheap, and without a leading slash in any link."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SAYS = """
import sys, types
sys.path.insert(0, "plugins")
import airflow.plugins_manager, airflow.sdk
from airflow.sdk import BaseOperatorLink
before = set(sys.modules)
import compliance_console as one
plugin = one.CompliancePlugin
print(sorted(m for m in set(sys.modules) - before if not m.startswith("compliance")))
print([v["href"] for v in plugin.external_views] + [v["icon"] for v in plugin.external_views])
print([v["url_route"] for v in plugin.external_views], [v["destination"] for v in plugin.external_views])
key = types.SimpleNamespace(dag_id="erase_account", run_id="manual__2026-11-24T00:00:00+00:00")
print(plugin.global_operator_extra_links[0].get_link(None, ti_key=key))
"""


def test_the_plugin_costs_every_component_nothing_and_links_work_under_a_sub_path(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SAYS], capture_output=True, text=True, cwd=ROOT, check=True,
        env={"PATH": "/usr/bin:/bin", "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
             "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/none.db",
             "HOME": str(tmp_path)},
    )  # fmt: skip
    modules, links, routes, task = done.stdout.strip().splitlines()[-4:]
    assert modules == "[]"
    assert "'/" not in links
    assert "'compliance/run?dag_id={DAG_ID}&run_id={RUN_ID}'" in links
    assert routes == "['retention', 'retention-dag', 'retention-run'] ['nav', 'dag', 'dag_run']"
    assert task == "compliance/run?dag_id=erase_account&run_id=manual__2026-11-24T00%3A00%3A00%2B00%3A00"


def test_requests_that_come_at_once_build_the_app_once(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("compliance_console", ROOT / "plugins/compliance_console.py")
    assert spec and spec.loader
    one = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(one)
    built, answered = [], []

    async def app(*_: Any) -> None:
        answered.append(1)

    def slowly() -> Any:
        time.sleep(0.05)
        built.append(1)
        return app

    monkeypatch.setattr(one, "_built", slowly)
    console = one.Console()

    async def several() -> None:
        await asyncio.gather(*(console({}, None, None) for _ in range(5)))

    asyncio.run(several())
    assert (len(built), len(answered)) == (1, 5)


def test_only_flat_files_with_names_of_their_own_lie_in_the_folder() -> None:
    found = sorted(str(p.relative_to(ROOT / "plugins")) for p in (ROOT / "plugins").rglob("*.py"))
    assert found == ["compliance_console.py", "retention_preload.py"]
