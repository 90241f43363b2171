"""The pages: each file here makes one `Page`, declares its routes, and is found by being here.

    page = Page("schedule", order=40)                       # word `nav.schedule`; order=None: not in the navigation

    @page.get("", Capability.COUNTS)                        # /schedule
    def show(ask: Ask) -> Response:
        with ask.services.reading() as connection:
            return ask.render("schedule.html", rules=…)

    @page.post("change", Capability.REQUEST)                # /schedule/change: CSRF is checked before it is called
    def change(ask: Ask) -> Response: ...

Handlers are plain functions; they run in a thread. A form arrives as `ask.form`, never in the URL; what a person typed
is never put into a redirect, a log or an exception.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.responses import Response

from include.console.roles import Capability

if TYPE_CHECKING:
    from include.console.asking import Ask

Handler = Callable[["Ask"], Response]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path, the capability it needs, and what answers it."""

    method: str
    path: str
    capability: Capability
    handler: Handler


@dataclass(frozen=True, slots=True)
class Page:
    """A page and its routes; `slug` is its path, empty for the landing page."""

    slug: str
    order: int | None = None
    routes: list[Route] = field(default_factory=list)

    @property
    def word(self) -> str:
        """The key of its name in the navigation."""
        return f"nav.{self.slug or 'night'}"

    def get(self, path: str, capability: Capability) -> Callable[[Handler], Handler]:
        """Declare a page that is read; anything it does must be safe to repeat."""
        return self._route("GET", path, capability)

    def post(self, path: str, capability: Capability) -> Callable[[Handler], Handler]:
        """Declare a form's target."""
        return self._route("POST", path, capability)

    def _route(self, method: str, path: str, capability: Capability) -> Callable[[Handler], Handler]:
        if not isinstance(capability, Capability):
            raise TypeError(f"{method} {self.slug}/{path}: a route names the capability it needs")

        def declare(handler: Handler) -> Handler:
            whole = "/" + "/".join(part for part in (self.slug, path) if part)
            self.routes.append(Route(method, whole, capability, handler))
            return handler

        return declare


def pages() -> list[Page]:
    """Return every page, those of the navigation in its order first."""
    return sorted(_found(), key=lambda page: (page.order is None, page.order or 0, page.slug))


def _found() -> Iterator[Page]:
    for module in pkgutil.iter_modules(__path__):
        page = getattr(importlib.import_module(f"{__name__}.{module.name}"), "page", None)
        if not isinstance(page, Page) or not page.routes:
            raise TypeError(f"pages/{module.name}.py makes no `page` with a route")
        yield page
