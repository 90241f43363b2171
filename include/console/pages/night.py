"""Tonight and the last nights: the page people look at each morning."""

from __future__ import annotations

from starlette.responses import Response

from include.console.asking import Ask
from include.console.pages import Page
from include.console.roles import Capability

page = Page("", order=10)


@page.get("", Capability.COUNTS)
def show(ask: Ask) -> Response:
    """Show tonight."""
    with ask.services.reading() as connection:
        return ask.render("night.html", as_of=ask.services.as_of(connection))
