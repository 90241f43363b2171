"""The company's accounts database as the schedule declares it: which table holds what, under `processors.own_database`.

Everything about a person that the database holds is declared once, and in one of four ways:

| section | what happens to its rows |
|---|---|
| `tables` | they belong to a dataset and are erased with it: deleted, their columns emptied, or anonymised |
| `ledgers` | they record why and when (consent, balances, disputes); they leave with the register row |
| `elsewhere` | account ids in lists that another processor reads and clears |
| `impersonal` | columns that look like a person's but are not; whole tables or `table.column` |

The register row itself leaves with the last record of its account.

What lies elsewhere (a warehouse, a log store, a cache) is declared under `stores`: see `Store`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from include.errors import ConfigurationError

OURS = frozenset({"retention", "pg_catalog", "information_schema"})
IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def _identifier(value: str) -> str:
    if not IDENTIFIER.fullmatch(value):
        raise ValueError("is not a plain lower-case name of a table or column")
    return value


def _place(value: str) -> str:
    """Accept `table.column`."""
    table, _, column = value.partition(".")
    _identifier(table)
    _identifier(column)
    return value


Name = Annotated[str, AfterValidator(_identifier)]
Place = Annotated[str, AfterValidator(_place)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Trigger(_Part):
    """An event that a column of a table is the date of; with it goes which rows the event is about.

    `exact`: the rows of that very day. `until`: the rows up to that day. `month`: the rows of the calendar month that
    ends on that day. `given` names a column that must be filled for the event to have happened.
    """

    column: Name
    rows: Literal["exact", "until", "month"]
    given: Name | None = None


class Person(_Part):
    """Which column of a customer's row says whose of its end users it is: the id the customer gave, or a key of
    `table`, whose column `value` holds that id.
    """

    column: Name
    table: Name | None = None
    key: Name | None = None
    value: Name | None = None

    @model_validator(mode="after")
    def _whole(self) -> Person:
        if len({self.table is None, self.key is None, self.value is None}) != 1:
            raise ValueError("`table`, `key` and `value` belong together")
        return self


class Table(_Part):
    """A table of one dataset. Tables that refer to another stand before it."""

    dataset: Name
    key: Name
    account: Name = "account_id"
    action: Literal["delete", "null_columns", "anonymise"] = "delete"
    columns: tuple[Name, ...] = ()
    because: str | None = None
    triggers: Mapping[str, Trigger] = Field(default_factory=dict)
    person: Person | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Table:
        if (self.action == "delete") == bool(self.columns):
            raise ValueError("`columns` belongs to null_columns and anonymise, and they need it")
        if self.action == "anonymise" and not self.because:
            raise ValueError("anonymise needs `because`: why deletion is markedly difficult (Decree 16(1)1)")
        return self


class Clock(_Part):
    """An event recorded in a table that is not itself erased by it; `newest` takes only the latest date per account."""

    event: str
    table: Name
    account: Name = "account_id"
    column: Name
    newest: bool = False
    where: Mapping[Name, str] = Field(default_factory=dict)


class Days(_Part):
    """A date of a record: the first column that is filled, or the latest of them."""

    columns: tuple[Name, ...]
    take: Literal["first", "latest"] = "first"


class Record(_Part):
    """A record a law may keep, as `processors.Record` wants it; a date missing here falls back to the termination.

    `event` names the event of the planner that each date is. `open_is` names the hold an undated record means.
    """

    kind: Literal["payment", "contract", "withdrawal", "complaint", "credit_record"]
    table: Name
    where: Mapping[Name, str] = Field(default_factory=dict)
    items: Mapping[str, Name]
    dates: Mapping[str, Days]
    events: Mapping[str, str]
    offshore: Name | None = None
    open_is: str | None = None


class Held(_Part):
    """Rows of a table that are holds: open while `released` is empty.

    `copies`: the hold reaches the copies of its dataset at every other place too (`Tables.copies`).
    """

    kind: str
    table: Name
    key: Name
    account: Name = "account_id"
    placed: Name
    released: Name
    dataset: Name | None = None
    copies: bool = False
    where: Mapping[Name, str] = Field(default_factory=dict)


class Register(_Part):
    """The register row: one per account, no name and no e-mail."""

    table: Name = "account"
    account: Name = "account_id"
    subject_type: Name = "subject_type"
    consumer_like: Name = "consumer_like"
    requested_on: Name = "requested_on"
    withheld: Name = "withheld"
    debt_cleared_on: Name = "debt_cleared_on"
    terminated_on: Name = "terminated_on"
    withheld_datasets: tuple[Name, ...] = ()


class Identity(_Part):
    """A table that says who the party of a record is (item -> column); the first table that knows an item wins."""

    table: Name
    account: Name = "account_id"
    items: Mapping[str, Name]


class Identifiers(_Part):
    """Where the keys stand by which a person is searched elsewhere."""

    emails: tuple[Place, ...] = ()
    login_id: tuple[Place, ...] = ()
    name: tuple[Place, ...] = ()
    phones: tuple[Place, ...] = ()


class Store(_Part):
    """A store of the company beside its accounts database; each of its datasets has scopes of its own.

    Exactly one of three: `tables` (PostgreSQL, reached by the Airflow connection `connection`; rows are erased and
    counted again there), `expires_within_days` (everything lapses by itself at most so many days after it was written),
    or `manual_within_days` (a person erases, due so many days after it was found). The last two name their `datasets`.
    """

    tables: Mapping[Name, Table] = Field(default_factory=dict)
    connection: Name | None = None
    schema_name: Name = Field("public", alias="schema")
    impersonal: tuple[str, ...] = ()
    backup_expires_within_days: Annotated[int, Field(ge=0)] | None = None
    datasets: tuple[Name, ...] = ()
    expires_within_days: Annotated[int, Field(ge=1, le=400)] | None = None
    manual_within_days: Annotated[int, Field(ge=1, le=30)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Store:
        ways = [bool(self.tables), self.expires_within_days is not None, self.manual_within_days is not None]
        if sum(ways) != 1:
            raise ValueError("needs exactly one of `tables`, `expires_within_days`, `manual_within_days`")
        if self.tables and (not self.connection or self.backup_expires_within_days is None or self.datasets):
            raise ValueError(
                "with `tables` needs `connection` and `backup_expires_within_days`; its datasets stand at the tables"
            )
        if not self.tables and (not self.datasets or self.connection or self.impersonal):
            raise ValueError("without `tables` needs `datasets`, and nothing is connected to")
        if self.schema_name in OURS:
            raise ValueError(f"schema {self.schema_name!r} is not the company's; it is never erased")
        return self

    @property
    def holds(self) -> frozenset[str]:
        """The datasets that lie here."""
        return frozenset(self.datasets) | {t.dataset for t in self.tables.values()}

    def as_tables(self) -> Tables:
        """Return the tables of this store as a declaration without a register."""
        return Tables(
            schema=self.schema_name,
            backup_expires_within_days=self.backup_expires_within_days or 0,
            tables=self.tables,
            impersonal=self.impersonal,
            has_register=False,
        )


class Tables(_Part):
    """The whole declaration; table names are looked up in `schema`.

    `backup_expires_within_days`: how long a backup may still hold a row erased today. `has_register` is false only for
    a store beside the accounts database.
    """

    schema_name: Name = Field("public", alias="schema")
    backup_expires_within_days: Annotated[int, Field(ge=0)]
    has_register: bool = True
    stores: Mapping[Name, Store] = Field(default_factory=dict)
    quota_share: float | None = None
    register_row: Register = Field(default_factory=Register, alias="register")
    tables: Mapping[Name, Table]
    ledgers: tuple[Name, ...] = ()
    elsewhere: tuple[Name, ...] = ()
    impersonal: tuple[str, ...] = ()
    clocks: tuple[Clock, ...] = ()
    records: tuple[Record, ...] = ()
    identity: tuple[Identity, ...] = ()
    identifiers: Identifiers = Field(default_factory=Identifiers)
    holds: tuple[Held, ...] = ()
    evidence: Mapping[Name, tuple[Name, ...]] = Field(default_factory=dict)
    copies: Mapping[Name, tuple[Name, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _theirs(self) -> Tables:
        if self.schema_name in OURS:
            raise ValueError(f"schema {self.schema_name!r} is not the company's; it is never erased")
        roles = [*self.tables, *self.ledgers, *self.elsewhere]
        for twice in {name for name in roles if roles.count(name) > 1}:
            raise ValueError(f"table {twice} is declared twice")
        places = [d for s in self.stores.values() for d in s.holds] + sorted({t.dataset for t in self.tables.values()})
        for twice in {name for name in places if places.count(name) > 1}:
            raise ValueError(f"dataset {twice} lies in two stores; give each store a dataset of its own")
        register = self.register_row.table
        if self.has_register and register in self.tables and self.tables[register].action != "null_columns":
            raise ValueError(f"the register {register} leaves by itself; only null_columns fits there")
        for record in self.records:
            if record.table not in self.tables:
                raise ValueError(f"record {record.kind}: table {record.table} is not declared under tables")
        return self

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> Tables:
        """Return the declaration of `processors.own_database.settings`, or say which line is wrong."""
        try:
            return cls.model_validate(dict(settings))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, ("processors", "own_database", "settings", *first["loc"])))
            raise ConfigurationError(
                f"Retention schedule: {where}: {first['msg']}. Correct the schedule; nothing was read or changed."
            ) from None

    def of_datasets(self, datasets: tuple[str, ...]) -> Iterator[tuple[str, Table]]:
        """Yield the tables of some datasets, children first."""
        for name, table in self.tables.items():
            if table.dataset in datasets:
                yield name, table
