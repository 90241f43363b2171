"""The tables the code names are those the migrations make."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine

import include.database.decisions
import include.database.finding
import include.database.requests
import include.database.scan
import include.database.shown  # noqa: F401 - its indexes too
from include.database import SCHEMA, metadata


@pytest.mark.filterwarnings("ignore:Can't validate argument")  # alembic asks for a dialect that is none
def test_the_migrations_make_every_table_column_and_index_the_code_names_and_no_other(engine: Engine) -> None:
    options = {
        "include_schemas": True,
        "compare_type": True,
        "include_name": lambda name, kind, _parents: (
            name == SCHEMA if kind == "schema" else name != "alembic_version" if kind == "table" else True
        ),
    }
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    # What a comment says may grow better without a migration.
    assert [d for d in map(_named, found) if "comment" not in d[0]] == []


def _named(difference: object) -> tuple[str, str]:
    first = difference[0] if isinstance(difference, list) else difference
    assert isinstance(first, tuple)
    return str(first[0]), str(first[1:])
