"""Alembic's environment; the URL comes from `migrations.schema` or VECMARK_DATABASE_URL."""

import os

from alembic import context
from sqlalchemy import NullPool, create_engine

from storage import tables

# The indexes' tables (`vectors_<id>`) are created by the service, not by a revision.
_VECTORS = "vectors_"


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "table" or not (name or "").startswith(_VECTORS)


def run() -> None:
    url = context.config.attributes.get("url") or os.environ["VECMARK_DATABASE_URL"]
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=tables.metadata,
            include_name=include_name,
            compare_server_default=True,
        )
        with context.begin_transaction():
            context.run_migrations()


run()
