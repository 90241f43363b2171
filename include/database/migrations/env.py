"""Alembic environment: schema `retention`, its version table inside it (Airflow has its own)."""

from alembic import context

import include.database.decisions
import include.database.finding
import include.database.scan
import include.database.shown  # noqa: F401 - its indexes too
from include.database import SCHEMA, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table_schema=SCHEMA,
    include_schemas=True,
    include_name=lambda name, kind, _parents: kind != "schema" or name == SCHEMA,
)
with context.begin_transaction():
    context.run_migrations()
