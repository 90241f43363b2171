"""Mount the retention console in Airflow's web interface; the pages live in `include/console`.

Every component of Airflow imports this file, so the app is built by the api-server alone, when its first request comes.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

PREFIX = "/compliance"
ICON = f"{PREFIX}/static/"


class Console:
    """The app as ASGI sees it, built on first use: a broken page or connection never stops Airflow from starting."""

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand the request on."""
        if self._app is None:
            from include.check.sources import from_airflow
            from include.console.airflow_side import Gate
            from include.console.app import create_app
            from include.console.services import Services

            self._app = create_app(Gate(), Services(from_airflow))
        await self._app(scope, receive, send)


class CompliancePlugin(AirflowPlugin):
    """The pages, one entry in the navigation, and a tab on every DAG and run of ours."""

    name = "compliance_console"
    fastapi_apps = [{"app": Console(), "url_prefix": PREFIX, "name": "Retention"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Retention",
            "href": f"{PREFIX}/",
            "url_route": "retention",
            "destination": "nav",
            "nav_top_level": True,
            "icon": f"{ICON}icon.svg",
            "icon_dark_mode": f"{ICON}icon-dark.svg",
        },
        {
            "name": "Retention",
            "href": f"{PREFIX}/dag?dag_id={{DAG_ID}}",
            "url_route": "retention-dag",
            "destination": "dag",
            "icon": f"{ICON}icon.svg",
            "icon_dark_mode": f"{ICON}icon-dark.svg",
        },
        {
            "name": "Evidence",
            "href": f"{PREFIX}/run?dag_id={{DAG_ID}}&run_id={{RUN_ID}}",
            "url_route": "retention-run",
            "destination": "dag_run",
            "icon": f"{ICON}icon.svg",
            "icon_dark_mode": f"{ICON}icon-dark.svg",
        },
    ]
