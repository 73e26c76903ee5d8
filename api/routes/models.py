"""Models and the spaces that they make: listed, shown and linked."""

from pathlib import Path

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from api.http import problems
from api.schemas import models as model_schemas
from api.service import Service
from api.services import models as model_services


@get(
    "/v1/models",
    operation_id="list_models",
    summary="List models and the spaces they make",
    responses=problems.documented(422, 503),
)
async def list_all(service: NamedDependency[Service]) -> model_schemas.ModelList:
    """OpenAI's list, with everything added that identifies a space."""
    return await model_services.list_all(service)


@get(
    "/v1/models/{model_id:path}",
    operation_id="get_model",
    summary="Show a model and its space",
    responses=problems.documented(404, 422, 503),
)
async def get_one(
    service: NamedDependency[Service], model_id: FromPath[Path]
) -> model_schemas.Model:
    """By id, alias or space; the id may contain `/`, encoded or not."""
    return await model_services.find(service, str(model_id).removeprefix("/"))


@post(
    "/v1/models/links",
    operation_id="link_models",
    summary="Record that two fingerprints are one space",
    status_code=200,
    responses=problems.documented(409, 413, 415, 422, 429, 503),
)
async def link(
    service: NamedDependency[Service], data: JSONBody[model_schemas.NewLink]
) -> model_schemas.SpaceLink:
    """Requires a cosine of 0.99999 for every test text; then nothing is embedded again."""
    return await model_services.link(service, data)


ROUTES = [list_all, get_one, link]
