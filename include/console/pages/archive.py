"""Archive: what is kept per law and year, when each group ends, and who read it."""

from __future__ import annotations

from starlette.responses import Response

from include.console.asking import Ask
from include.console.charts import Part
from include.console.pages import Page
from include.console.pages.evidence import number_of
from include.console.paging import Rows
from include.console.reading import archive as reading
from include.console.roles import Capability

page = Page("archive", order=50)
COLOURS = ("kept", "held", "wait", "person", "good", "plain")
READERS = 50


@page.get("", Capability.COUNTS)
def show(ask: Ask) -> Response:
    """Show what is kept, as a picture and a table."""
    schedule = ask.services.schedule
    with ask.services.reading() as connection:
        today = ask.services.as_of(connection)
        lines = reading.kept(connection, as_of=today)
    titles = {rule_id: getattr(rule.title, ask.words.language) for rule_id, rule in schedule.rules.items()}
    return ask.render(
        "archive.html", lines=lines, today=today, titles=titles, rules=schedule.rules, colours=colours(lines),
        picture=columns(lines, titles),
    )  # fmt: skip


def colours(lines: list[reading.Kept]) -> dict[str, str]:
    """Return each law's colour in the picture, by the order of the laws."""
    return {rule: COLOURS[n % len(COLOURS)] for n, rule in enumerate(sorted({line.rule_id for line in lines}))}


def columns(lines: list[reading.Kept], titles: dict[str, str]) -> dict[str, list[Part]]:
    """Return one column a year in which periods end, its records by law."""
    colour = colours(lines)
    years = range(min((x.year for x in lines), default=1), max((x.year for x in lines), default=0) + 1)
    rows = {(line.rule_id, line.year): line.rows for line in lines}
    return {
        str(year): [
            Part(colour[rule], f"{rule} {titles.get(rule, '')}".strip(), rows.get((rule, year), 0)) for rule in colour
        ]
        for year in years
    }


@page.get("groups", Capability.WORK)
def groups(ask: Ask) -> Response:
    """List the stored groups in the order of their ends."""
    schedule, rule = ask.services.schedule, ask.query.get("rule", "")
    with ask.services.reading() as connection:
        today = ask.services.as_of(connection)
        rows = reading.groups(connection, rule_id=rule if rule in schedule.rules else "", after=ask.after)
    return ask.render("archive_groups.html", rows=rows, today=today, rules=schedule.rules, rule=rule)


@page.get("readers", Capability.EVIDENCE)
def readers(ask: Ask) -> Response:
    """List who read the archive, newest first, each with its entry."""
    before = number_of(ask, "after") if ask.after else None
    with ask.services.reading() as connection:
        found = reading.readings(connection, before=before, limit=READERS + 1)
    following = str(found[READERS - 1].index) if len(found) > READERS else None
    return ask.render("archive_readers.html", rows=Rows(found[:READERS], following, not ask.after))
