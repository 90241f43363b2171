"""One request as a page sees it, and how a page answers: a template, a file, or the way to another page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from include.console import charts
from include.console.pages import Page, pages
from include.console.roles import Capability, User
from include.console.services import SEOUL, Services
from include.console.words import Words

TEMPLATES = Path(__file__).with_name("templates")

environment = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def seoul(moment: datetime) -> str:
    """Return a moment in Korean time to the minute, with its offset, as people here read clocks."""
    return moment.astimezone(SEOUL).strftime("%Y-%m-%d %H:%M +09:00")


environment.globals["seoul"] = seoul


class Airflow(Protocol):
    """Airflow's own API, called as the person who is logged in; its answer is status and parsed JSON."""

    def __call__(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]: ...


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `form` and `path` hold what was sent; `airflow` calls `/api/v2` with this person's own rights."""

    path: str
    user: User
    words: Words
    services: Services
    csrf: str = field(repr=False)
    airflow: Airflow
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    parts: Mapping[str, str] = field(default_factory=dict)
    ip: str = ""

    @property
    def after(self) -> str:
        """The cursor of a paged list."""
        return self.query.get("after", "")

    def value(self, name: str) -> str:
        """Return one field of the form, trimmed; empty when it was not sent."""
        return self.form[name][0].strip() if self.form.get(name) else ""

    def can(self, capability: str) -> bool:
        """Whether this person has the capability of this name, for what a template shows."""
        return Capability[capability] in self.user.may

    @property
    def root(self) -> str:
        """The way from this page to the console's root, relative: a sub-path or a proxy changes nothing."""
        return "../" * (self.path.count("/") - 1) or "./"

    def link(self, target: str = "", /, **query: object) -> str:
        """Return a link to a page of the console (`link("holds/one", id=…)`)."""
        wanted = "&".join(f"{quote(k)}={quote(str(v), safe='')}" for k, v in query.items() if v not in (None, ""))
        return self.root + target + (f"?{wanted}" if wanted else "")

    def run_link(self, dag_id: str, run_id: str, task: str = "", map_index: int = -1) -> str:
        """Return a link to a run, or a task of it, in Airflow's own interface."""
        place = f"{self.root}../dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"
        if not task:
            return place
        return f"{place}/tasks/{quote(task, safe='')}" + (f"/mapped/{map_index}" if map_index >= 0 else "")

    def group_link(self, dag_id: str, run_id: str, group: str) -> str:
        """Return a link to a task group of a run, one processor's tasks, in Airflow's own interface."""
        return f"{self.run_link(dag_id, run_id)}/tasks/group/{quote(group, safe='')}"

    def dag_link(self, dag_id: str) -> str:
        """Return a link to a DAG in Airflow's own interface."""
        return f"{self.root}../dags/{quote(dag_id, safe='')}"

    def navigation(self) -> list[tuple[Page, bool]]:
        """Return the pages this person may open, and whether each is the one that is open."""
        return [(p, self._is_open(p)) for p in pages() if p.order is not None and self._may_open(p)]

    def _may_open(self, page: Page) -> bool:
        return any(
            r.method == "GET" and r.path == f"/{page.slug}" and r.capability in self.user.may for r in page.routes
        )

    def _is_open(self, page: Page) -> bool:
        return self.path == "/" if not page.slug else f"{self.path}/".startswith(f"/{page.slug}/")

    def render(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """Return a page: the template gets `ask`, `t` (the texts), `charts` and these values."""
        text = environment.get_template(template).render(ask=self, t=self.words, charts=charts, **values)
        return HTMLResponse(text, status)

    def file(self, content: bytes, name: str, media_type: str) -> Response:
        """Return a download; `name` is ASCII and made by us."""
        return Response(
            content, media_type=media_type, headers={"content-disposition": f'attachment; filename="{name}"'}
        )
