"""The fixed tables, as typed Core columns. Each index adds one (`storage.vector_tables`)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Named,
    SmallInteger,
    Table,
    Text,
    TypedColumns,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from storage import migration_states

# Any: one column type for objects and lists; `Named` gives each column its own type.
type_json: JSONB[Any] = JSONB(none_as_null=True)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_NOW = func.now()
_NEW_ID = func.gen_random_uuid()


class space_columns(TypedColumns):
    id: Named[int] = Column(SmallInteger, Identity(), primary_key=True)
    fingerprint: Named[str] = Column(Text, unique=True)
    model_id: Named[str] = Column(Text)
    revision: Named[str | None] = Column(Text)
    dimensions: Named[int] = Column(Integer)
    max_tokens: Named[int | None] = Column(Integer)
    document_prompt: Named[str] = Column(Text)
    query_prompt: Named[str] = Column(Text)
    precision: Named[str] = Column(Text)
    options: Named[dict[str, object]] = Column(type_json, server_default=text("'{}'"))
    manifest: Named[dict[str, object]] = Column(type_json)
    build: Named[dict[str, object] | None] = Column(type_json)
    canaries: Named[bytes] = Column(LargeBinary)
    canaries_version: Named[int] = Column(Integer)
    created_at: Named[datetime] = Column(DateTime(timezone=True), server_default=_NOW)


class space_link_columns(TypedColumns):
    fingerprint: Named[str] = Column(Text, primary_key=True)
    space_id: Named[int] = Column(SmallInteger, ForeignKey("spaces.id"))
    worst_cosine: Named[float] = Column(Float)
    created_at: Named[datetime] = Column(DateTime(timezone=True), server_default=_NOW)


class collection_columns(TypedColumns):
    id: Named[UUID] = Column(Uuid, primary_key=True, server_default=_NEW_ID)
    name: Named[str] = Column(Text, unique=True)
    active_index_id: Named[int | None] = Column(Integer)
    building_index_id: Named[int | None] = Column(Integer)
    created_at: Named[datetime] = Column(DateTime(timezone=True), server_default=_NOW)


class index_columns(TypedColumns):
    id: Named[int] = Column(Integer, Identity(), primary_key=True)
    collection_id: Named[UUID] = Column(Uuid)
    space_id: Named[int] = Column(SmallInteger, ForeignKey("spaces.id"))
    strategy: Named[str] = Column(Text)
    size: Named[int | None] = Column(Integer)
    overlap: Named[int] = Column(Integer)
    chunker_version: Named[int] = Column(Integer)
    state: Named[str] = Column(Text)
    hnsw: Named[str] = Column(Text, server_default=text("'none'"))
    hnsw_error: Named[str | None] = Column(Text)
    ef_search: Named[int | None] = Column(Integer)
    recall: Named[float | None] = Column(Float)
    # How the vectors of an adopted table were shown to belong to this space.
    evidence: Named[dict[str, object] | None] = Column(type_json)
    created_at: Named[datetime] = Column(DateTime(timezone=True), server_default=_NOW)


class document_columns(TypedColumns):
    doc_key: Named[UUID] = Column(Uuid, primary_key=True)
    collection_id: Named[UUID] = Column(Uuid)
    id: Named[str] = Column(Text)
    version: Named[int] = Column(BigInteger, server_default=text("1"))
    text_hash: Named[bytes] = Column(LargeBinary)
    text: Named[str] = Column(Text)
    metadata_: Named[dict[str, object]] = Column("metadata", type_json)
    created_at: Named[datetime] = Column(DateTime(timezone=True), server_default=_NOW)
    updated_at: Named[datetime] = Column(DateTime(timezone=True), server_default=_NOW)


class pending_columns(TypedColumns):
    index_id: Named[int] = Column(Integer, primary_key=True)
    doc_key: Named[UUID] = Column(Uuid, primary_key=True)
    text_hash: Named[bytes] = Column(LargeBinary)
    lease_owner: Named[str | None] = Column(Text)
    lease_epoch: Named[int] = Column(BigInteger, server_default=text("0"))
    lease_until: Named[datetime | None] = Column(DateTime(timezone=True))
    attempts: Named[int] = Column(Integer, server_default=text("0"))
    error: Named[str | None] = Column(Text)


class write_fence_columns(TypedColumns):
    one: Named[bool] = Column(Boolean, primary_key=True, server_default=text("true"))


class migration_columns(TypedColumns):
    id: Named[UUID] = Column(Uuid, primary_key=True, server_default=_NEW_ID)
    collection_id: Named[UUID] = Column(Uuid)
    source_index_id: Named[int] = Column(Integer)
    target_index_id: Named[int] = Column(Integer)
    state: Named[str] = Column(Text)
    # The state in which a paused, blocked or failed migration continues.
    resume_state: Named[str | None] = Column(Text)
    options: Named[dict[str, object]] = Column(type_json, server_default=text("'{}'"))
    # Descriptions of both indexes, whose own rows are deleted with their tables.
    sides: Named[dict[str, object]] = Column(type_json, server_default=text("'{}'"))
    golden: Named[list[dict[str, object]] | None] = Column(type_json)
    history: Named[list[dict[str, object]]] = Column(type_json, server_default=text("'[]'"))
    report: Named[dict[str, object] | None] = Column(type_json)
    error: Named[str | None] = Column(Text)
    waiting: Named[str | None] = Column(Text)
    # Who leads it, one worker at a time; ranges have their own leases.
    lease_owner: Named[str | None] = Column(Text)
    lease_epoch: Named[int] = Column(BigInteger, server_default=text("0"))
    lease_until: Named[datetime | None] = Column(DateTime(timezone=True))
    # With a limited rate: when the next batch can begin, for all workers together.
    next_batch_at: Named[datetime | None] = Column(DateTime(timezone=True))
    retained_until: Named[datetime | None] = Column(DateTime(timezone=True))
    created_at: Named[datetime] = Column(DateTime(timezone=True), server_default=_NOW)
    updated_at: Named[datetime] = Column(DateTime(timezone=True), server_default=_NOW)


class migration_range_columns(TypedColumns):
    migration_id: Named[UUID] = Column(Uuid, primary_key=True)
    no: Named[int] = Column(Integer, primary_key=True)
    low: Named[UUID] = Column(Uuid)
    high: Named[UUID] = Column(Uuid)
    position: Named[UUID | None] = Column("cursor", Uuid)
    finished: Named[bool] = Column(Boolean, server_default=text("false"))
    done: Named[int] = Column(BigInteger, server_default=text("0"))
    chunks: Named[int] = Column(BigInteger, server_default=text("0"))
    attempts: Named[int] = Column(Integer, server_default=text("0"))
    lease_owner: Named[str | None] = Column(Text)
    lease_epoch: Named[int] = Column(BigInteger, server_default=text("0"))
    lease_until: Named[datetime | None] = Column(DateTime(timezone=True))


class api_key_columns(TypedColumns):
    id: Named[str] = Column(Text, primary_key=True)
    name: Named[str] = Column(Text)
    secret_hash: Named[bytes] = Column(LargeBinary)
    scopes: Named[list[str]] = Column(type_json)
    created_at: Named[datetime] = Column(DateTime(timezone=True), server_default=_NOW)
    expires_at: Named[datetime | None] = Column(DateTime(timezone=True))


class replica_columns(TypedColumns):
    id: Named[UUID] = Column(Uuid, primary_key=True)
    name: Named[str] = Column(Text)
    serves: Named[bool] = Column(Boolean, server_default=text("true"))
    spaces: Named[list[int]] = Column(type_json, server_default=text("'[]'"))
    facts: Named[dict[str, object]] = Column(type_json, server_default=text("'{}'"))
    expires_at: Named[datetime] = Column(DateTime(timezone=True))


class query_columns(TypedColumns):
    collection_id: Named[UUID] = Column(Uuid, primary_key=True)
    text_hash: Named[bytes] = Column(LargeBinary, primary_key=True)
    text: Named[str] = Column(Text)
    seen_at: Named[datetime] = Column(DateTime(timezone=True), server_default=_NOW)


spaces = Table("spaces", metadata, space_columns)
space_links = Table("space_links", metadata, space_link_columns)
collections = Table("collections", metadata, collection_columns)
indexes = Table(
    "indexes",
    metadata,
    index_columns,
    CheckConstraint(
        "state IN ('building', 'cutting', 'active', 'retained', 'retired')", name="state"
    ),
    CheckConstraint("hnsw IN ('none', 'building', 'ready')", name="hnsw"),
    Index(None, "collection_id"),
)
documents = Table(
    "documents",
    metadata,
    document_columns,
    # Every range scan and anti-join of a collection uses it.
    Index(None, "collection_id", "doc_key"),
)
pending = Table("pending", metadata, pending_columns)
write_fence = Table("write_fence", metadata, write_fence_columns)
_HAS_ENDED = "state IN ('{}')".format("', '".join(sorted(migration_states.ENDED)))
migrations = Table(
    "migrations",
    metadata,
    migration_columns,
    Index(None, "collection_id"),
    # At most one open migration for each collection, even if two are started at once.
    Index(
        "uq_migrations_open",
        "collection_id",
        unique=True,
        postgresql_where=text(f"NOT ({_HAS_ENDED})"),
    ),
)
migration_ranges = Table("migration_ranges", metadata, migration_range_columns)
api_keys = Table("api_keys", metadata, api_key_columns)
replicas = Table("replicas", metadata, replica_columns)
# A sample of recent queries, by which a migration is judged.
queries = Table("queries", metadata, query_columns)
