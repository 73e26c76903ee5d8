"""Alembic's environment: the URL comes from the caller (`migrations.schema`) or VECMARK_DATABASE_URL."""

import os
from typing import Any

from alembic import context
from sqlalchemy import NullPool, create_engine

from storage import tables

# The tables of the indexes (`vectors_<id>`) are made by the service, not by a revision.
_VECTORS = "vectors_"


def include_object(obj: Any, name: str | None, kind: str, _reflected: bool, _to: Any) -> bool:
    table = name if kind == "table" else getattr(getattr(obj, "table", None), "name", None)
    return not (table or "").startswith(_VECTORS)


def run() -> None:
    url = context.config.attributes.get("url") or os.environ["VECMARK_DATABASE_URL"]
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=tables.metadata,
            include_object=include_object,
            compare_server_default=True,
        )
        with context.begin_transaction():
            context.run_migrations()


run()
