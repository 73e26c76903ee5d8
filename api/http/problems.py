"""Every error as an RFC 9457 problem: one table from what went wrong to what clients read."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec

from api.http import validation
from api.http.bodies import BodiesFull, BodyInvalid, BodyTooLarge
from api.http.ndjson import ClientGone
from api.http.responses import Stopping
from embedding import errors as embedding
from embedding.text import chunking
from indexing import errors as indexing
from migrations.reembed import errors as reembed
from storage import engine
from storage import errors as storage

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
# nginx's status for a client that disconnected; nobody receives it.
CLIENT_GONE = 499


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field of the request."""

    field: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`type` is stable; `errors` name the fields of the request that are wrong."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[FieldError, ...] = ()


class Invalid(Exception):
    """A value of the request can't be used; answered by a 422 that names its field."""

    def __init__(self, field: str, detail: str, slug: str = "validation") -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail
        self.slug = slug


class OtherSpace(Exception):
    """The caller expects another space than the vectors would belong to."""

    def __init__(self, expected: str, actual: str, model: str) -> None:
        super().__init__(
            f"expect_space is {expected!r}, but the vectors would belong to {actual!r} ({model}); "
            "nothing was done"
        )


def build(status: int, slug: str, detail: str, *errors: FieldError) -> Problem:
    title = slug.replace("-", " ").capitalize()
    return Problem(
        type=f"/problems/{slug}", title=title, status=status, detail=detail, errors=errors
    )


# Most specific first: the first class that fits wins.
_TABLE: tuple[tuple[type[Exception], int, str], ...] = (
    (storage.CollectionNotFound, 404, "unknown-collection"),
    (storage.DocumentNotFound, 404, "unknown-document"),
    (storage.CollectionExists, 409, "collection-exists"),
    (storage.SchemaBehind, 503, "schema-behind"),
    (storage.ExtensionUnusable, 503, "extension-unusable"),
    (storage.StorageError, 503, "storage-unavailable"),
    (indexing.SpaceMismatch, 409, "space-mismatch"),
    (BodyTooLarge, 413, "too-large"),
    (BodiesFull, 429, "too-many-bodies"),
    (ClientGone, CLIENT_GONE, "client-gone"),
    (Stopping, 503, "stopping"),
    (indexing.ModelMissing, 503, "model-missing"),
    (indexing.LoadRefused, 503, "model-refused"),
    (indexing.NoMemory, 503, "no-memory"),
    (indexing.LinkRefused, 409, "link-refused"),
    (indexing.ModelUnknown, 422, "unknown-model"),
    (indexing.Busy, 503, "database-unavailable"),
    (reembed.MigrationNotFound, 404, "unknown-migration"),
    (reembed.ReportMissing, 404, "no-report"),
    (reembed.MigrationRunning, 409, "migration-running"),
    (reembed.CutoverBlocked, 409, "cutover-blocked"),
    (reembed.RollbackRefused, 409, "rollback-refused"),
    (reembed.MigrationError, 409, "transition-refused"),
    (chunking.ChunkingInvalid, 422, "validation"),
    (embedding.NoTokens, 422, "no-tokens"),
    (embedding.TextFailed, 422, "text-failed"),
    (embedding.TextTooLong, 422, "text-too-long"),
    (embedding.TokenIdsInvalid, 422, "token-ids-invalid"),
    (embedding.TooMuch, 413, "too-many-tokens"),
    (embedding.Overloaded, 429, "overloaded"),
    (embedding.EncoderFailed, 503, "encoder-failed"),
    (embedding.ModelNotFound, 422, "unknown-model"),
    (embedding.EmbeddingError, 422, "model-unusable"),
)


def describe(error: Exception) -> Problem:
    """The problem for `error`; an unexpected error becomes a 500 that reveals nothing."""
    match error:
        case Invalid():
            return build(422, error.slug, str(error), FieldError(error.field, error.detail))
        case OtherSpace():
            return build(409, "space-mismatch", str(error), FieldError("expect_space", "differs"))
        case BodyInvalid():
            return build(error.status, error.slug, str(error), *_fields(error.field, error.reason))
        case storage.FilterInvalid():
            return build(422, "validation", str(error), FieldError(error.field, error.reason))
        case HTTPException():
            return _from_http_error(error)
    entry = next(((status, slug) for kind, status, slug in _TABLE if isinstance(error, kind)), None)
    return _from_database_error(error) if entry is None else build(*entry, str(error))


def _from_database_error(error: Exception) -> Problem:
    if engine.is_out_of_space(error):
        return build(507, "no-space", "the disk of the database is full; nothing was stored")
    if engine.is_unavailable(error):
        return build(503, "database-unavailable", "the database cannot be reached; try again")
    if engine.is_conflict(error):
        return build(503, "busy", "other transactions hold the locks it needs; try again")
    if engine.is_gone(error):
        return build(503, "collection-changed", "the collection has just changed; try again")
    return build(500, "internal", "the service failed; see its log")


def _fields(field: str | None, reason: str) -> tuple[FieldError, ...]:
    return () if field is None else (FieldError(field, reason),)


def _from_http_error(error: HTTPException) -> Problem:
    status = error.status_code
    extra = error.extra if isinstance(error.extra, list) else []
    if any(isinstance(part, Mapping) and part.get("key") == _BODY for part in extra):
        return build(422, "validation", f"body: {_NO_BODY}", FieldError("body", _NO_BODY))
    fields = tuple(
        FieldError(
            str(part.get("key", part.get("source", "request"))),
            validation.explain(str(part.get("message", ""))).removesuffix(validation.NOT_TEXT),
        )
        for part in extra
        if isinstance(part, Mapping)
    )
    if fields and status == HTTPStatus.BAD_REQUEST:
        detail = "; ".join(f"{error.field}: {error.detail}" for error in fields)
        return build(422, "validation", detail, *fields)
    missing = _MISSING.match(error.detail or "")
    if missing:
        field = FieldError(missing["name"], "is missing")
        return build(422, "validation", f"{field.field}: {field.detail}", field)
    phrase = HTTPStatus(status).phrase
    detail = (
        error.detail if error.detail and error.detail != phrase else _EXPLAINED.get(status, phrase)
    )
    return build(status, phrase.lower().replace(" ", "-"), detail, *fields)


# The handlers' argument for a body; bodies that are present are checked by `bodies.decode`.
_BODY = "data"
_NO_BODY = "is missing; send JSON"
_MISSING = re.compile(r"Missing required \w+ parameter '(?P<name>[^']+)'")
_EXPLAINED = {
    404: "there is no such route; /docs lists them all",
    405: "this route does not support this method; /docs lists them all",
}


def describe_and_log(error: Exception) -> Problem:
    """The problem; an unexpected error is logged with its traceback."""
    problem = describe(error)
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request_failed", exc_info=error)
    elif problem.status > HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request_refused", problem=problem.type, reason=problem.detail)
    return problem


def respond(_: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """Litestar's handler for all exceptions."""
    problem = describe_and_log(error)
    return Response(
        problem,
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=response_headers(problem, error),
    )


def response_headers(problem: Problem, error: Exception) -> dict[str, str]:
    """The error's own headers, and when to try again."""
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if problem.status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        after_s = RETRY_AFTER_S
        if isinstance(error, embedding.Overloaded):
            after_s = error.retry_after_s
        headers["Retry-After"] = str(after_s)
    return headers


def documented(*statuses: int) -> dict[int, ResponseSpec]:
    """The problems of a route, for the OpenAPI document."""
    return {
        status: ResponseSpec(Problem, description=HTTPStatus(status).phrase, media_type=MEDIA_TYPE)
        for status in (400, *statuses)
    }
