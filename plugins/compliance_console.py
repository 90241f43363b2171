"""Mount the retention console in Airflow's web interface; the pages live in `include/console`.

Every component of Airflow imports this file, so the app is built by the api-server alone, when its first request comes.
"""

from __future__ import annotations

from threading import Lock
from typing import Any
from urllib.parse import urlencode

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import BaseOperatorLink

PREFIX = "/compliance"
HERE = "compliance/"
"""Links have no leading slash: under a sub-path they are resolved against Airflow's own base."""
ICONS = {"icon": f"{HERE}static/icon.svg", "icon_dark_mode": f"{HERE}static/icon-dark.svg"}


class Console:
    """The app as ASGI sees it, built on first use: a broken page or connection never stops Airflow from starting."""

    def __init__(self) -> None:
        self._app: Any = None
        self._building = Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand the request on."""
        if self._app is None:
            from anyio.to_thread import run_sync

            await run_sync(self._build)
        await self._app(scope, receive, send)

    def _build(self) -> None:
        """Build the app once, however many requests come while its imports take their seconds."""
        with self._building:
            if self._app is None:
                self._app = _built()


def _built() -> Any:
    """Return the app; its imports take seconds, so this runs beside the event loop."""
    from include.check.sources import from_airflow
    from include.console.airflow_side import Gate
    from include.console.app import create_app
    from include.console.services import Services

    return create_app(Gate(), Services(from_airflow))


class EvidenceLink(BaseOperatorLink):
    """The button of a task that opens what its run did."""

    name = "Evidence · 증적"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the page of the task's run."""
        return f"{HERE}run?{urlencode({'dag_id': ti_key.dag_id, 'run_id': ti_key.run_id})}"


class CompliancePlugin(AirflowPlugin):
    """The pages, one entry in the navigation, and a tab on every DAG and run, also on those of others."""

    name = "compliance_console"
    fastapi_apps = [{"app": Console(), "url_prefix": PREFIX, "name": "Retention"}]  # noqa: RUF012
    global_operator_extra_links = [EvidenceLink()]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Retention",
            "href": HERE,
            "url_route": "retention",
            "destination": "nav",
            "nav_top_level": True,
            **ICONS,
        },
        {
            "name": "Retention",
            "href": f"{HERE}dag?dag_id={{DAG_ID}}",
            "url_route": "retention-dag",
            "destination": "dag",
            **ICONS,
        },
        {
            "name": "Evidence",
            "href": f"{HERE}run?dag_id={{DAG_ID}}&run_id={{RUN_ID}}",
            "url_route": "retention-run",
            "destination": "dag_run",
            **ICONS,
        },
    ]
