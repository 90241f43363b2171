"""What the pages read from: our state, the company's accounts, keys and the schedule; each opened when first needed.

Pages read in a read-only transaction with a time limit, so that no page can change state or hold the database up.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sqlalchemy import Connection as Transaction
from sqlalchemy import Engine, func, select, text

from include import database
from include.connections import Connection
from include.database import run

if TYPE_CHECKING:
    from include.accounts import Accounts
    from include.evidence.tags import SubjectTags
    from include.keys import Wrapper
    from include.policy.schedule import Schedule

SEOUL = ZoneInfo("Asia/Seoul")
PATIENCE = "20s"
"""How long one statement of a page may take."""


@lru_cache(maxsize=2)
def _load(path: str | None, _changed: int) -> Schedule:
    from include.policy import schedule

    return schedule.load(Path(path) if path else None)


class Services:
    """One process's sources, made from connections by name; `now` is the only clock of the pages."""

    def __init__(
        self, connect: Callable[[str], Connection], now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._connect = connect
        self._lock = threading.RLock()
        self.now = now

    def connection(self, name: str) -> Connection:
        """Return a connection by name, or raise `ConfigurationError`."""
        return self._connect(name)

    @cached_property
    def engine(self) -> Engine:
        """Our own state (`retention_db`)."""
        with self._lock:
            return database.connect(self._connect("retention_db"))

    @cached_property
    def _accounts_engine(self) -> Engine:
        with self._lock:
            return database.connect(self._connect("accounts_db"))

    @property
    def schedule(self) -> Schedule:
        """The retention schedule in force, read again when its file changed."""
        path = os.environ.get("RETENTION_SCHEDULE")
        return _load(path, Path(path).stat().st_mtime_ns if path else 0)

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
