"""What worlds share whose place is a database, or that rely on the company's own lists in one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

from sqlalchemy import Engine, text

from include import database
from include.connections import Connection
from include.policy.schedule import Schedule
from tests.processors.worlds.base import EVER, Act, World
from tests.processors.worlds.pg_proxy import PgProxy, proxy_to_postgres
from tests.processors.worlds.tamper import Liar

OUTSIDER = "contract_outsider"
KEEPS = "contract_keeps"


class DatabaseWorld(World):
    """A world whose place is (or needs) the company's accounts database, reached through a proxy of ours.

    Its lie is a trigger that lets a DELETE or UPDATE succeed and change nothing; a client without rights is a role that
    may log in and nothing else.
    """

    lied_about: tuple[str, ...] = ()
    proxy: PgProxy

    def __init__(self, accounts: Engine, schedule: Schedule, variant: str, database_connection: Connection) -> None:
        super().__init__(accounts, schedule, variant)
        self.direct, self.login = database_connection, database_connection.login
        self._engines: list[Engine] = []

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        with proxy_to_postgres(str(self.direct.extra["host"])) as self.proxy, super().serving():
            self.proxy.witness = lambda request: self.witness(request)
            try:
                yield
            finally:
                self.tell_the_truth()
                for engine in self._engines:
                    engine.dispose()

    def through(self) -> Connection:
        """Return the connection to the accounts database that goes through the proxy."""
        return replace(
            self.direct, name=self.name, login=self.login, extra={**self.direct.extra, "host": str(self.proxy.folder)}
        )

    def accounts_engine(self) -> Engine:
        self._engines.append(database.connect(self.through()))
        return self._engines[-1]

    def trouble(self, kind: str, act: Act | None = None, *, times: int = 1, headers: Mapping[str, str] = {}) -> None:
        if kind == "lie":
            self.lie()
        elif kind == "value_refused":
            self.lie(instead="RAISE EXCEPTION USING ERRCODE = '23514', MESSAGE = 'value refused'")
        elif kind == "unauthorized":
            with self.accounts.begin() as connection:
                known = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :r"), {"r": OUTSIDER}).first()
                if not known:
                    connection.execute(text(f"CREATE ROLE {OUTSIDER} LOGIN"))
            self.login = OUTSIDER
        else:
            self.proxy.break_(kind, times)

    def mend(self) -> None:
        self.proxy.wrong.clear()
        self.login = self.direct.login
        self.tell_the_truth()

    def unmet(self) -> int:
        return sum(times for times in self.proxy.wrong.values() if times < EVER // 2)

    def calls(self) -> int:
        return self.proxy.sessions

    def lie_to(self, liar: Liar) -> None:
        self.liar = self.proxy.liar = liar

    def lie(self, *, instead: str = "RETURN NULL") -> None:
        """Let deletions in the world's tables succeed and keep every row, or do `instead`."""
        with self.accounts.begin() as connection:
            connection.execute(
                text(
                    f"CREATE OR REPLACE FUNCTION {KEEPS}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {instead}; END$$"
                )
            )
            for table in self.lied_about:
                connection.execute(
                    text(
                        f"CREATE OR REPLACE TRIGGER {KEEPS} BEFORE DELETE OR UPDATE ON {table} "
                        f"FOR EACH ROW EXECUTE FUNCTION {KEEPS}()"
                    )
                )

    def tell_the_truth(self) -> None:
        """Drop the triggers, if there are any."""
        with self.accounts.begin() as connection:
            connection.execute(text(f"DROP FUNCTION IF EXISTS {KEEPS}() CASCADE"))
