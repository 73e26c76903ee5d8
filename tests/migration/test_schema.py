"""Schema migrations: the revisions create exactly what the program needs."""

from importlib import resources

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine, inspect, text

from migrations import schema
from storage import errors


def config(url: str) -> Config:
    settings = Config()
    settings.set_main_option("script_location", str(resources.files("migrations")))
    settings.attributes["url"] = url
    return settings


def tables(url: str) -> set[str]:
    engine = create_engine(url, poolclass=NullPool)
    return set(inspect(engine).get_table_names())


def test_head_is_the_newest_revision() -> None:
    script = ScriptDirectory(str(resources.files("migrations")))
    assert script.get_current_head() == schema.HEAD


def test_empty_database_is_brought_to_the_head(empty_database_url: str) -> None:
    assert schema.current(empty_database_url) == schema.SchemaState(None, schema.HEAD)
    assert schema.upgrade(empty_database_url).is_current
    assert schema.upgrade(empty_database_url).is_current
    schema.check(empty_database_url)


def test_tables_of_an_index_are_no_difference(database_url: str) -> None:
    engine = create_engine(database_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE vectors_1 (embedding halfvec(3))"))
    schema.check(database_url)


def test_a_missing_column_is_found(database_url: str) -> None:
    engine = create_engine(database_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE indexes DROP COLUMN recall"))
    with pytest.raises(Exception, match="recall"):
        schema.check(database_url)


def test_a_newer_schema_is_distinguished_from_an_older_one(database_url: str) -> None:
    engine = create_engine(database_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(errors.SchemaAhead, match="install the newer version"):
        schema.upgrade(database_url)


def test_downgrade_leaves_nothing_behind(empty_database_url: str) -> None:
    schema.upgrade(empty_database_url)
    command.downgrade(config(empty_database_url), "base")
    assert tables(empty_database_url) == {"alembic_version"}
    assert schema.upgrade(empty_database_url).is_current
