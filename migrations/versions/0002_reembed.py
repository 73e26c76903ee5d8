"""What re-embed migrations need: leases, history, a sample of queries, evidence of adoption."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_JSON = postgresql.JSONB(none_as_null=True, astext_type=sa.Text())
_OPEN = sa.text("NOT (state IN ('done', 'cancelled', 'rolled_back'))")


def upgrade() -> None:
    op.add_column("indexes", sa.Column("evidence", _JSON, nullable=True))
    _extend_migrations()
    _extend_ranges()
    _extend_replicas()
    op.create_table(
        "queries",
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("text_hash", sa.LargeBinary(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column(
            "seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("collection_id", "text_hash", name=op.f("pk_queries")),
    )


def _extend_migrations() -> None:
    table = "migrations"
    op.add_column(table, sa.Column("resume_state", sa.Text(), nullable=True))
    op.add_column(table, sa.Column("sides", _JSON, server_default=sa.text("'{}'"), nullable=False))
    op.add_column(table, sa.Column("golden", _JSON, nullable=True))
    op.add_column(
        table, sa.Column("history", _JSON, server_default=sa.text("'[]'"), nullable=False)
    )
    op.add_column(table, sa.Column("waiting", sa.Text(), nullable=True))
    op.add_column(table, sa.Column("lease_owner", sa.Text(), nullable=True))
    op.add_column(
        table,
        sa.Column("lease_epoch", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    for name in ("lease_until", "next_batch_at", "retained_until"):
        op.add_column(table, sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "uq_migrations_open", table, ["collection_id"], unique=True, postgresql_where=_OPEN
    )


def _extend_ranges() -> None:
    table = "migration_ranges"
    op.add_column(
        table,
        sa.Column("finished", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    for name, kind in (("chunks", sa.BigInteger()), ("attempts", sa.Integer())):
        op.add_column(table, sa.Column(name, kind, server_default=sa.text("0"), nullable=False))


def _extend_replicas() -> None:
    table = "replicas"
    op.add_column(
        table, sa.Column("serves", sa.Boolean(), server_default=sa.text("true"), nullable=False)
    )
    op.add_column(table, sa.Column("facts", _JSON, server_default=sa.text("'{}'"), nullable=False))


def downgrade() -> None:
    op.drop_table("queries")
    op.drop_column("replicas", "facts")
    op.drop_column("replicas", "serves")
    op.drop_column("migration_ranges", "attempts")
    op.drop_column("migration_ranges", "chunks")
    op.drop_column("migration_ranges", "finished")
    op.drop_index("uq_migrations_open", table_name="migrations")
    for name in ("retained_until", "next_batch_at", "lease_until"):
        op.drop_column("migrations", name)
    for name in (
        "lease_epoch",
        "lease_owner",
        "waiting",
        "history",
        "golden",
        "sides",
        "resume_state",
    ):
        op.drop_column("migrations", name)
    op.drop_column("indexes", "evidence")
