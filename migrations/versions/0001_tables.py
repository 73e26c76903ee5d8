"""The fixed tables and the view of which model made which vectors."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


# Which model made the vectors of which table: for people who look with psql.
_VECTOR_MODELS = """
CREATE VIEW vector_models AS
SELECT c.name AS collection, s.model_id, s.revision, s.fingerprint AS space, i.state,
       'vectors_' || i.id AS table_name
FROM indexes i
JOIN spaces s ON s.id = i.space_id
LEFT JOIN collections c ON c.id = i.collection_id
WHERE i.state <> 'retired'
"""


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column(
            "scopes", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
    )
    op.create_table(
        "collections",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("active_index_id", sa.Integer(), nullable=True),
        sa.Column("building_index_id", sa.Integer(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collections")),
        sa.UniqueConstraint("name", name=op.f("uq_collections_name")),
    )
    op.create_table(
        "documents",
        sa.Column("doc_key", sa.Uuid(), nullable=False),
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("text_hash", sa.LargeBinary(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column(
            "metadata", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("doc_key", name=op.f("pk_documents")),
    )
    op.create_index(
        op.f("ix_documents_collection_id_doc_key"),
        "documents",
        ["collection_id", "doc_key"],
        unique=False,
    )
    op.create_table(
        "migration_ranges",
        sa.Column("migration_id", sa.Uuid(), nullable=False),
        sa.Column("no", sa.Integer(), nullable=False),
        sa.Column("low", sa.Uuid(), nullable=False),
        sa.Column("high", sa.Uuid(), nullable=False),
        sa.Column("cursor", sa.Uuid(), nullable=True),
        sa.Column("done", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_epoch", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("migration_id", "no", name=op.f("pk_migration_ranges")),
    )
    op.create_table(
        "migrations",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("source_index_id", sa.Integer(), nullable=False),
        sa.Column("target_index_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "options",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column(
            "report", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_migrations")),
    )
    op.create_index(
        op.f("ix_migrations_collection_id"), "migrations", ["collection_id"], unique=False
    )
    op.create_table(
        "pending",
        sa.Column("index_id", sa.Integer(), nullable=False),
        sa.Column("doc_key", sa.Uuid(), nullable=False),
        sa.Column("text_hash", sa.LargeBinary(), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_epoch", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("index_id", "doc_key", name=op.f("pk_pending")),
    )
    op.create_table(
        "replicas",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "spaces",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replicas")),
    )
    op.create_table(
        "spaces",
        sa.Column("id", sa.SmallInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=True),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.Column("max_tokens", sa.Integer(), nullable=True),
        sa.Column("document_prompt", sa.Text(), nullable=False),
        sa.Column("query_prompt", sa.Text(), nullable=False),
        sa.Column("precision", sa.Text(), nullable=False),
        sa.Column(
            "options",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column(
            "manifest", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column(
            "build", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("canaries", sa.LargeBinary(), nullable=False),
        sa.Column("canaries_version", sa.Integer(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spaces")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_spaces_fingerprint")),
    )
    op.create_table(
        "write_fence",
        sa.Column("one", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_write_fence")),
    )
    op.create_table(
        "indexes",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("space_id", sa.SmallInteger(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=True),
        sa.Column("overlap", sa.Integer(), nullable=False),
        sa.Column("chunker_version", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("hnsw", sa.Text(), server_default=sa.text("'none'"), nullable=False),
        sa.Column("hnsw_error", sa.Text(), nullable=True),
        sa.Column("ef_search", sa.Integer(), nullable=True),
        sa.Column("recall", sa.Float(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("hnsw IN ('none', 'building', 'ready')", name=op.f("ck_indexes_hnsw")),
        sa.CheckConstraint(
            "state IN ('building', 'cutting', 'active', 'retained', 'retired')",
            name=op.f("ck_indexes_state"),
        ),
        sa.ForeignKeyConstraint(["space_id"], ["spaces.id"], name=op.f("fk_indexes_space_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_indexes")),
    )
    op.create_index(op.f("ix_indexes_collection_id"), "indexes", ["collection_id"], unique=False)
    op.create_table(
        "space_links",
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("space_id", sa.SmallInteger(), nullable=False),
        sa.Column("worst_cosine", sa.Float(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["space_id"], ["spaces.id"], name=op.f("fk_space_links_space_id")),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_space_links")),
    )
    op.execute(_VECTOR_MODELS)
    op.execute("INSERT INTO write_fence DEFAULT VALUES")


def downgrade() -> None:
    op.execute("DROP VIEW vector_models")
    op.drop_table("space_links")
    op.drop_index(op.f("ix_indexes_collection_id"), table_name="indexes")
    op.drop_table("indexes")
    op.drop_table("write_fence")
    op.drop_table("spaces")
    op.drop_table("replicas")
    op.drop_table("pending")
    op.drop_index(op.f("ix_migrations_collection_id"), table_name="migrations")
    op.drop_table("migrations")
    op.drop_table("migration_ranges")
    op.drop_index(op.f("ix_documents_collection_id_doc_key"), table_name="documents")
    op.drop_table("documents")
    op.drop_table("collections")
    op.drop_table("api_keys")
