"""Errors of OpenAI's route in OpenAI's shape, from the same problems as everywhere."""

import re
from http import HTTPStatus
from typing import Any

from litestar import Request, Response
from litestar.openapi.datastructures import ResponseSpec

from api.http import problems
from api.schemas.embeddings import OpenAIError, OpenAIErrorBody

PATH = "/v1/embeddings"
# Its clients tell by these names what happened; other problems keep their own.
_CODES = {
    "text-too-long": "context_length_exceeded",
    "unknown-model": "model_not_found",
    "overloaded": "rate_limit_exceeded",
    "too-many-bodies": "rate_limit_exceeded",
}
_STATUSES = {"unknown-model": 404, "text-failed": 422}
_PARAMETER = re.compile(r"\w+")
_MISSING = re.compile(r"`(\w+)` is missing")


def respond(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Litestar's exception handler: a problem, but on OpenAI's route what its clients read."""
    if request.scope["path"].rstrip("/") != PATH:
        return problems.respond(request, error)
    problem = problems.for_client(error)
    status = _status(problem)
    headers = problems.headers_of(problem, error)
    if status == HTTPStatus.CONFLICT:
        # OpenAI's clients try a 409 again, which here changes nothing.
        headers["x-should-retry"] = "false"
    return Response(from_problem(problem), status_code=status, headers=headers)


def from_problem(problem: problems.Problem) -> OpenAIErrorBody:
    slug = _slug(problem)
    kind = "invalid_request_error"
    if problem.status == HTTPStatus.TOO_MANY_REQUESTS:
        kind = "rate_limit_error"
    elif problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = "server_error"
    return OpenAIErrorBody(
        error=OpenAIError(
            message=problem.detail,
            type=kind,
            param=_parameter(problem),
            code=_CODES.get(slug, slug.replace("-", "_")),
        )
    )


def documented(*statuses: int) -> dict[int, ResponseSpec]:
    """The errors of OpenAI's route for its OpenAPI description."""
    return {
        status: ResponseSpec(OpenAIErrorBody, description=HTTPStatus(status).phrase)
        for status in statuses
    }


def _status(problem: problems.Problem) -> int:
    given = problem.status
    usual = 400 if given == HTTPStatus.UNPROCESSABLE_ENTITY else given
    return _STATUSES.get(_slug(problem), usual)


def _slug(problem: problems.Problem) -> str:
    return problem.type.rpartition("/")[2]


def _parameter(problem: problems.Problem) -> str | None:
    """The parameter that a field such as `input[3]` belongs to."""
    field = problem.errors[0].field if problem.errors else "body"
    if field == "body":
        missing = _MISSING.search(problem.detail)
        return None if missing is None else missing[1]
    found = _PARAMETER.match(field)
    return None if found is None else found[0]
