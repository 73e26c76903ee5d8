"""Change over time: schema migrations by Alembic, and re-embed migrations."""
