"""What goes over the wire has the fields of the engine's values, and is light to import."""

import subprocess
import sys
from datetime import UTC, datetime

import msgspec
import pytest
from msgspec import Struct

from api.schemas import migrations as schemas
from api.schemas import reports as report_schemas
from migrations.reembed import migration, status
from migrations.reembed.planning import plan as planning
from migrations.reembed.verifying import report as reembed_report

PAIRS: list[tuple[type[Struct], type[Struct]]] = [
    (migration.Options, schemas.MigrationOptions),
    (migration.StateChange, schemas.StateChange),
    (status.MigrationProgress, schemas.MigrationProgress),
    (status.Lag, schemas.Lag),
    (planning.Plan, schemas.Plan),
    (reembed_report.Report, report_schemas.Report),
]


def fields(kind: object) -> object:
    """The fields of a struct with their types, structs among them by their own fields."""
    info = msgspec.inspect.type_info(kind)
    return _plain(info)


def _plain(info: msgspec.inspect.Type) -> object:
    match info:
        case msgspec.inspect.StructType():
            return [(field.encode_name, _plain(field.type)) for field in info.fields]
        case msgspec.inspect.ListType():
            return ["list", _plain(info.item_type)]
        case msgspec.inspect.UnionType():
            return ["union", *(_plain(part) for part in info.types)]
    return info


@pytest.mark.parametrize(("engine", "wire"), PAIRS)
def test_nothing_of_the_engine_is_left_out(engine: type[Struct], wire: type[Struct]):
    assert fields(engine) == fields(wire)


def test_values_of_the_engine_are_encoded_unchanged():
    now = datetime(2026, 11, 27, 8, 30, tzinfo=UTC)
    moments = [migration.StateChange(state="paused", at=now, why=None)]
    shown = msgspec.convert(moments, list[schemas.StateChange], from_attributes=True)
    assert msgspec.json.encode(shown) == msgspec.json.encode(moments)


@pytest.mark.parametrize("module", ["migrations", "reports"])
def test_a_client_imports_the_answers_alone(module: str):
    code = (
        f"import sys, api.schemas.{module}\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"litestar", "numpy", "openvino", "psycopg", "sqlalchemy", "structlog", "tokenizers"}
    assert not heavy & set(done.stdout.split())
