"""Errors of OpenAI's route in OpenAI's shape, made from the same problems as all others."""

import re
from http import HTTPStatus
from typing import Any

from litestar import Request, Response
from litestar.openapi.datastructures import ResponseSpec

from api.http import problems
from api.schemas.embeddings import OpenAIError, OpenAIErrorBody

PATH = "/v1/embeddings"
# Its clients know these codes; other problems keep their own names.
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
    """Litestar's exception handler: a problem, or on OpenAI's route an error of its shape."""
    if request.scope["path"].rstrip("/") != PATH:
        return problems.respond(request, error)
    problem = problems.describe_and_log(error)
    status = _status(problem)
    headers = problems.response_headers(problem, error)
    if status == HTTPStatus.CONFLICT:
        # OpenAI's clients retry a 409, which would only fail again.
        headers["x-should-retry"] = "false"
    return Response(to_openai(problem), status_code=status, headers=headers)


def to_openai(problem: problems.Problem) -> OpenAIErrorBody:
    """The problem as OpenAI's clients read it."""
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
    """The errors of OpenAI's route, for the OpenAPI document."""
    return {
        status: ResponseSpec(OpenAIErrorBody, description=HTTPStatus(status).phrase)
        for status in statuses
    }


def _status(problem: problems.Problem) -> int:
    usual = problem.status
    if usual == HTTPStatus.UNPROCESSABLE_ENTITY:
        usual = HTTPStatus.BAD_REQUEST
    return _STATUSES.get(_slug(problem), usual)


def _slug(problem: problems.Problem) -> str:
    return problem.type.rpartition("/")[2]


def _parameter(problem: problems.Problem) -> str | None:
    """The parameter that a field such as `input[3]` belongs to."""
    field = problem.errors[0].field if problem.errors else "body"
    if field == "body":
        missing = _MISSING.search(problem.detail)
        return None if missing is None else missing[1]
    parameter = _PARAMETER.match(field)
    return None if parameter is None else parameter[0]
