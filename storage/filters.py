"""Filters over metadata: `{"year": {"$gte": 2020}, "$or": [{"lang": "en"}, {"lang": "de"}]}`.

A plain value means equality; several fields, and several operators of one field, all have to
hold. A comparison only holds between values of one JSON kind, so no value can raise in SQL.
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
    """What the whole filter may still hold; values count where they are in lists."""

    conditions: int = 200
    # PostgreSQL takes 65,535 parameters in a statement.
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
        raise errors.FilterInvalid(where, "an object with at least one field is needed")
    parts = []
    for name, value in condition.items():
        budget.spend(where)
        at = f"{where}.{name}"
        if name in {"$and", "$or"}:
            parts.append(_list(name, value, at, depth, budget))
        elif name == "$not":
            parts.append(not_(_object(value, at, depth + 1, budget)))
        elif name.startswith("$"):
            raise errors.FilterInvalid(at, "unknown operator; known here: $and, $or, $not")
        else:
            parts.append(_field(name, value, at, budget))
    return and_(*parts)


def _list(name: str, value: object, where: str, depth: int, budget: _Budget) -> ColumnElement[bool]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise errors.FilterInvalid(where, "a list with at least one filter is needed")
    parts = [_object(part, f"{where}[{no}]", depth + 1, budget) for no, part in enumerate(value)]
    return and_(*parts) if name == "$and" else or_(*parts)


def _json(value: object) -> ColumnElement[object]:
    return cast(literal(msgspec.json.encode(value).decode()), JSONB)


def _field(name: str, value: object, where: str, budget: _Budget) -> ColumnElement[bool]:
    found: ColumnElement[object] = documents.c.metadata_[bindparam(None, name, unique=True)]
    if not isinstance(value, Mapping):
        return func.coalesce(found == _json(value), literal(value=False))
    if not value:
        raise errors.FilterInvalid(where, "an operator such as $eq or $gte is needed")
    parts = []
    for operator, operand in value.items():
        budget.spend(where, values=len(operand) if isinstance(operand, list) else 1)
        parts.append(_operation(found, operator, operand, f"{where}.{operator}"))
    return and_(*parts)


def _operation(
    found: ColumnElement[object], operator: str, operand: object, where: str
) -> ColumnElement[bool]:
    no = literal(value=False)
    if operator == "$eq":
        return func.coalesce(found == _json(operand), no)
    if operator == "$ne":
        return func.coalesce(found != _json(operand), literal(value=True))
    if operator in {"$in", "$nin"}:
        if not isinstance(operand, Sequence) or isinstance(operand, str):
            raise errors.FilterInvalid(where, "a list of values is needed")
        among = func.coalesce(found.in_([_json(one) for one in operand]), no)
        return among if operator == "$in" else not_(among)
    if operator == "$exists":
        if not isinstance(operand, bool):
            raise errors.FilterInvalid(where, "true or false is needed")
        return found.is_not(None) if operand else found.is_(None)
    if operator in _COMPARE:
        return _comparison(found, operator, operand, where)
    known = "$eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists"
    raise errors.FilterInvalid(where, f"unknown operator; known are {known}")


def _comparison(
    found: ColumnElement[object], operator: str, operand: object, where: str
) -> ColumnElement[bool]:
    if isinstance(operand, bool) or not isinstance(operand, int | float | str):
        raise errors.FilterInvalid(where, "a number or a string is needed")
    kind = "string" if isinstance(operand, str) else "number"
    # jsonb compares values of one kind by their worth; CASE keeps the kinds apart.
    compared = _COMPARE[operator](found, _json(operand))
    return case((func.jsonb_typeof(found) == kind, compared), else_=literal(value=False))
