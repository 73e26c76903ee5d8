"""Filters over metadata: `{"year": {"$gte": 2020}, "$or": [{"lang": "en"}, {"lang": "de"}]}`.

A plain value means equality. Several fields, and several operators of one field, must all match. A
comparison only matches values of the same JSON type, so no value can cause an error in SQL.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import msgspec
from sqlalchemy import ColumnElement, and_, bindparam, case, cast, func, literal, not_, or_
from sqlalchemy.dialects.postgresql import JSONB

from storage import errors
from storage.tables import documents

Filter = Mapping[str, object]

_MAX_DEPTH = 8

_COMPARE: dict[str, Callable[[ColumnElement[object], object], ColumnElement[bool]]] = {
    "$gt": lambda left, right: left > right,
    "$gte": lambda left, right: left >= right,
    "$lt": lambda left, right: left < right,
    "$lte": lambda left, right: left <= right,
}


@dataclasses.dataclass
class _Budget:
    """How many more conditions, and values in lists, the whole filter can have."""

    conditions: int = 200
    # PostgreSQL accepts 65,535 parameters in a statement.
    values: int = 10_000

    def spend(self, where: str, *, values: int = 0) -> None:
        self.conditions -= 1
        self.values -= values
        if self.conditions < 0:
            raise errors.FilterInvalid(where, "the filter has too many conditions (over 200)")
        if self.values < 0:
            raise errors.FilterInvalid(where, "the filter's lists have over 10,000 values")


def clause(condition: Filter) -> ColumnElement[bool]:
    """The condition on `documents.metadata`; raises FilterInvalid naming the field."""
    return _object(condition, "filter", 0, _Budget())


def _object(condition: object, where: str, depth: int, budget: _Budget) -> ColumnElement[bool]:
    if depth > _MAX_DEPTH:
        raise errors.FilterInvalid(where, f"nested deeper than {_MAX_DEPTH} levels")
    if not isinstance(condition, Mapping) or not condition:
        raise errors.FilterInvalid(where, "must be an object with at least one field")
    parts = []
    for name, value in condition.items():
        budget.spend(where)
        at = f"{where}.{name}"
        if name in {"$and", "$or"}:
            parts.append(_list(name, value, at, depth, budget))
        elif name == "$not":
            parts.append(not_(_object(value, at, depth + 1, budget)))
        elif name.startswith("$"):
            raise errors.FilterInvalid(at, "unknown operator; use $and, $or or $not here")
        else:
            parts.append(_field(name, value, at, budget))
    return and_(*parts)


def _list(name: str, value: object, where: str, depth: int, budget: _Budget) -> ColumnElement[bool]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise errors.FilterInvalid(where, "must be a list with at least one filter")
    parts = [_object(part, f"{where}[{no}]", depth + 1, budget) for no, part in enumerate(value)]
    return and_(*parts) if name == "$and" else or_(*parts)


def _json(value: object) -> ColumnElement[object]:
    return cast(literal(msgspec.json.encode(value).decode()), JSONB)


def _field(name: str, value: object, where: str, budget: _Budget) -> ColumnElement[bool]:
    stored: ColumnElement[object] = documents.c.metadata_[bindparam(None, name, unique=True)]
    if not isinstance(value, Mapping):
        return func.coalesce(stored == _json(value), literal(value=False))
    if not value:
        raise errors.FilterInvalid(where, "must have an operator such as $eq or $gte")
    parts = []
    for operator, operand in value.items():
        budget.spend(where, values=len(operand) if isinstance(operand, list) else 1)
        parts.append(_operation(stored, operator, operand, f"{where}.{operator}"))
    return and_(*parts)


def _operation(
    stored: ColumnElement[object], operator: str, operand: object, where: str
) -> ColumnElement[bool]:
    no_match = literal(value=False)
    if operator == "$eq":
        return func.coalesce(stored == _json(operand), no_match)
    if operator == "$ne":
        return func.coalesce(stored != _json(operand), literal(value=True))
    if operator in {"$in", "$nin"}:
        if not isinstance(operand, Sequence) or isinstance(operand, str):
            raise errors.FilterInvalid(where, "must be a list of values")
        is_in = func.coalesce(stored.in_([_json(value) for value in operand]), no_match)
        return is_in if operator == "$in" else not_(is_in)
    if operator == "$exists":
        if not isinstance(operand, bool):
            raise errors.FilterInvalid(where, "must be true or false")
        return stored.is_not(None) if operand else stored.is_(None)
    if operator in _COMPARE:
        return _comparison(stored, operator, operand, where)
    operators = "$eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists"
    raise errors.FilterInvalid(where, f"unknown operator; use one of {operators}")


def _comparison(
    stored: ColumnElement[object], operator: str, operand: object, where: str
) -> ColumnElement[bool]:
    if isinstance(operand, bool) or not isinstance(operand, int | float | str):
        raise errors.FilterInvalid(where, "must be a number or a string")
    kind = "string" if isinstance(operand, str) else "number"
    # jsonb orders values of one type naturally; CASE keeps the types apart.
    compared = _COMPARE[operator](stored, _json(operand))
    return case((func.jsonb_typeof(stored) == kind, compared), else_=literal(value=False))
