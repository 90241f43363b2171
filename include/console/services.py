"""What the pages read from: our state, the company's accounts, keys and the schedule; each opened when first needed.

`reading()` is a read-only transaction with a time limit, so that what reads through it changes no state and holds no
database up. Look-ups record who looked and so write; the evidence room and the company's database read by their own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sqlalchemy import Connection as Transaction
from sqlalchemy import Engine, func, select, text

from include import database
from include.connections import Connection
from include.database import run
from include.errors import ScheduleError
from include.policy import schedule as schedules

if TYPE_CHECKING:
    from include.accounts import Accounts
    from include.evidence.tags import SubjectTags
    from include.keys import Wrapper
    from include.policy.schedule import Schedule

SEOUL = ZoneInfo("Asia/Seoul")
PATIENCE = "20s"
"""How long one statement of a page may take."""


class Services:
    """One process's sources, made from connections by name; `now` is the only clock of the pages."""

    def __init__(
        self, connect: Callable[[str], Connection], now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._engines: dict[str, Engine] = {}
        self.now = now

    def connection(self, name: str) -> Connection:
        """Return a connection by name, or raise `ConfigurationError`."""
        return self._connect(name)

    @cached_property
    def engine(self) -> Engine:
        """Our own state (`retention_db`)."""
        return self._engine("retention_db")

    @cached_property
    def _accounts_engine(self) -> Engine:
        return self._engine("accounts_db")

    def _engine(self, name: str) -> Engine:
        """Return the one engine of a connection: two requests at once would otherwise open two pools."""
        with self._lock:
            if name not in self._engines:
                self._engines[name] = database.connect(self._connect(name))
            return self._engines[name]

    @property
    def schedule(self) -> Schedule:
        """The retention schedule in force: the newest approved version that is effective today.

        Before the first approval, and where this release cannot read that version any more, it is the configured file.
        """
        try:
            return self._in_force()
        except ScheduleError:
            return self.configured

    @property
    def configured(self) -> Schedule:
        """The schedule of the file a run would use, approved or not."""
        return schedules.load(os.environ.get("RETENTION_SCHEDULE") or None)

    @property
    def folder(self) -> Path:
        """Where the policy text and the holiday table of the company's schedule lie."""
        path = os.environ.get("RETENTION_SCHEDULE")
        return Path(path).parent if path else schedules.PACKAGE

    @property
    def four_eyes(self) -> bool:
        """Whether looking one person up takes two people: so the approved version says, or nobody can read it here."""
        try:
            return self._in_force().settings.lookup_four_eyes
        except ScheduleError:
            return True

    def _in_force(self) -> Schedule:
        from include.disposals.asking import in_force

        with self.reading() as connection:
            today = self.as_of(connection)
        return in_force(self.engine, today)

    @property
    def accounts(self) -> Accounts:
        """The company's accounts database."""
        from include.accounts import Accounts

        return Accounts(self._accounts_engine, self.schedule.processors["own_database"].settings)

    @property
    def tags(self) -> SubjectTags:
        """The keys that make tags, of every live epoch."""
        from include import keys
        from include.evidence.tags import SubjectTags

        return SubjectTags(keys.epochs(self._connect("evidence_tags")))

    @cached_property
    def wrapper(self) -> Wrapper:
        """The archive's key-encryption key, which also names employees by pseudonym."""
        from include import keys

        return keys.wrapper(self._connect("archive_kek"))

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Yield a read-only transaction on our state."""
        with self.engine.connect().execution_options(postgresql_readonly=True) as connection:
            connection.execute(text(f"SET LOCAL statement_timeout = '{PATIENCE}'"))
            yield connection

    def as_of(self, connection: Transaction) -> date:
        """Return the business date the pages speak of: today in Seoul, or the newest a run worked with if later."""
        newest: date | None = connection.execute(select(func.max(run.c.as_of))).scalar()
        today = self.now().astimezone(SEOUL).date()
        return max(today, newest) if newest else today
