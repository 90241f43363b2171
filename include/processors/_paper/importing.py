"""Import of the company's box list into its register `paper_register`, which `paper` searches.

The file is CSV in UTF-8 with the columns `box, location, category, account` and, if the company numbers its papers,
`paper_id`. All of it is checked before anything is written; a file with one wrong line changes nothing. The same file
imported again changes nothing either: a paper without a number gets one from what its line says.

Messages name line and column, never a value: people write names into the wrong column.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field
from uuid import UUID, uuid5

from sqlalchemy import Engine, column, insert, select, table, update
from sqlalchemy.exc import SQLAlchemyError

from include.errors import ConfigurationError

COLUMNS = ("box", "location", "category", "account")
NUMBER = "paper_id"
LONGEST = {"box": 80, "location": 120, "category": 12, "account": 200, NUMBER: 80}
SHOWN = 20
CHUNK = 1000
_NUMBERS = UUID("5f6d1a2e-8c1b-4d3e-9a57-3f0f3c7b9d21")
"""Namespace of the numbers given here."""


@dataclass(frozen=True, slots=True)
class Paper:
    """One line of the register."""

    paper_id: str
    account_id: str = field(repr=False)
    box: str
    location: str
    category: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did."""

    new: int
    moved: int
    same: int


def parse(content: bytes, *, categories: Collection[str]) -> list[Paper]:
    """Return the lines of a box list, or raise `ConfigurationError` naming every line that is wrong."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError("The box list is not UTF-8. Save it as CSV UTF-8 and import it again.") from None
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=False))
    except csv.Error:
        raise ConfigurationError(
            "The box list is not CSV: a cell does not end. Look for a lone quotation mark, and import it again."
        ) from None
    header = [name.strip() for name in rows[0]] if rows else []
    if sorted(header) not in (sorted(COLUMNS), sorted((*COLUMNS, NUMBER))):
        raise ConfigurationError(
            f"The box list's first line must name the columns {', '.join(COLUMNS)} (and {NUMBER}, if papers have one)."
        )
    papers, problems, times = [], [], Counter[tuple[str, ...]]()
    for number, cells in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            problems.append(f"line {number}: {len(cells)} cells instead of {len(header)}")
            continue
        line = {name: unicodedata.normalize("NFC", cell.strip()) for name, cell in zip(header, cells, strict=True)}
        wrong = [f"line {number}, {reason}" for reason in _wrong(line, categories)]
        problems += wrong
        if not wrong:
            papers.append(_paper(line, times))
    ids = Counter(p.paper_id for p in papers)
    problems += [f"{n} lines have the same {NUMBER}" for n in ids.values() if n > 1]
    _refuse(problems)
    return papers


def _wrong(line: dict[str, str], categories: Collection[str]) -> Iterator[str]:
    for name, value in line.items():
        if not value:
            yield f"{name}: is empty"
        elif len(value) > LONGEST[name] or any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in value):
            yield f"{name}: is longer than {LONGEST[name]} characters, or holds a control character"
        elif "@" in unicodedata.normalize("NFKC", value):  # ＠ of Korean keyboards too
            yield f"{name}: holds an e-mail address; the register knows people by their account only"
    if line["category"] and line["category"] not in categories:
        yield f"category: is none of the schedule's for paper ({', '.join(sorted(categories))})"


def _paper(line: dict[str, str], times: Counter[tuple[str, ...]]) -> Paper:
    told = (line["box"], line["category"], line["account"])
    times[told] += 1
    given = line.get(NUMBER) or str(uuid5(_NUMBERS, "\x00".join((*told, str(times[told])))))
    return Paper(given, line["account"], line["box"], line["location"], line["category"])


def _refuse(problems: list[str]) -> None:
    if problems:
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise ConfigurationError(
            f"The box list is refused, nothing was imported: {'; '.join(problems[:SHOWN])}{more}. Correct the file and "
            "import it again."
        )


def store(engine: Engine, papers: list[Paper], *, name: str = "paper_register", accounts: str = "account") -> Imported:
    """Add papers to the register in one transaction; a known paper may change its place, never its account.

    Every account must be in the company's register: a paper of an unknown one would never be found again.
    """
    register = table(name, *(column(c) for c in ("paper_id", "account_id", "box", "location", "category")))
    known_accounts = table(accounts, column("account_id"))
    try:
        with engine.begin() as connection:
            wanted = sorted({p.account_id for p in papers})
            known: set[str] = set()
            before: dict[str, Paper] = {}
            for some in _chunks(wanted):
                query = select(known_accounts.c.account_id).where(known_accounts.c.account_id.in_(some))
                known.update(connection.execute(query).scalars())
            for some in _chunks([p.paper_id for p in papers]):
                query = select(register).where(register.c.paper_id.in_(some))
                before |= {r.paper_id: Paper(**r._mapping) for r in connection.execute(query)}
            problems = [
                f"{n} papers are of accounts that are not in {accounts}" for n in [_unknown(papers, known)] if n
            ]
            other = sum(p.paper_id in before and before[p.paper_id].account_id != p.account_id for p in papers)
            if other:
                problems.append(f"{other} papers are in the register under another account")
            _refuse(problems)
            new = [p for p in papers if p.paper_id not in before]
            moved = [p for p in papers if p.paper_id in before and before[p.paper_id] != p]
            for start in range(0, len(new), CHUNK):
                connection.execute(insert(register), [asdict(p) for p in new[start : start + CHUNK]])
            for paper in moved:
                place = {"box": paper.box, "location": paper.location, "category": paper.category}
                connection.execute(update(register).where(register.c.paper_id == paper.paper_id).values(place))
    except SQLAlchemyError:
        raise ConfigurationError(
            f"Connection accounts_db: {name} could not be written. It needs the columns paper_id, account_id, box, "
            "location and category, and the role the right to insert and update."
        ) from None
    return Imported(len(new), len(moved), len(papers) - len(new) - len(moved))


def _unknown(papers: list[Paper], known: set[str]) -> int:
    return sum(p.account_id not in known for p in papers)


def _chunks(values: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]
