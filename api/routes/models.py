from pathlib import Path

from litestar import get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from api.http import bodies, openapi, problems
from api.routes.documents import AnyRequest
from api.schemas import common as common_schemas
from api.schemas import embeddings as embedding_schemas
from api.schemas import models as model_schemas
from api.service import Service
from api.services import embeddings
from api.services import models as model_services
from embedding.registry import sources
from indexing.models import links
from storage import spaces
from storage.spaces import SpaceRow


@get(
    "/v1/models",
    operation_id="list_models",
    summary="List models and the spaces they make",
    responses=problems.documented(422, 503),
)
async def page(service: NamedDependency[Service]) -> model_schemas.ModelList:
    """OpenAI's list, with everything added that identifies a space."""
    settings = service.settings
    return model_schemas.ModelList(
        data=await _every(service),
        available=await embeddings.available_models(service),
        limits=model_schemas.RequestLimits(
            texts=embedding_schemas.MAX_TEXTS,
            matrix_texts=embedding_schemas.MAX_MATRIX,
            text_chars=settings.max_text_chars,
            body_bytes=settings.max_body_bytes,
        ),
        problems=dict(service.models.problems),
    )


@get(
    "/v1/models/{model_id:path}",
    operation_id="get_model",
    summary="Show a model and its space",
    responses=problems.documented(404, 422, 503),
)
async def get_one(
    service: NamedDependency[Service], model_id: FromPath[Path]
) -> model_schemas.Model:
    """By id, alias or space; the id may hold `/`, encoded or not."""
    wanted = embeddings.parse_model_name(str(model_id).removeprefix("/")).name
    found = [one for one in await _every(service) if wanted in (one.id, one.space, *one.aliases)]
    if not found:
        raise NotFoundException(f"no model {wanted!r} was used yet; GET /v1/models lists them")
    # Several spaces can have been made by models of one name.
    return max(found, key=lambda one: (one.default, one.state == "loaded", one.created))


async def _every(service: Service) -> list[model_schemas.Model]:
    async with service.engine.connect() as conn:
        rows = await spaces.all_spaces(conn)
        used = await spaces.used_by(conn)
        linked = await spaces.links(conn)
    loaded = {one.space_id: one for one in service.models.loaded}
    default = service.models.default
    return [
        model_services.model(
            row,
            loaded.get(row.id),
            used.get(row.id, []),
            default=default is not None and default.space_id == row.id,
            missing=row.fingerprint in service.models.problems,
            aliases=_aliases(service, row),
            same=[fingerprint for fingerprint, id_ in linked.items() if id_ == row.id],
        )
        for row in rows
    ]


def _aliases(service: Service, row: SpaceRow) -> list[str]:
    """Other names that requests may use for a space; the default's also by its setting."""
    default = service.models.default
    names = set(sources.BUNDLED_NAMES) if row.model_id in sources.BUNDLED_NAMES else set()
    if default is not None and default.space_id == row.id:
        names.add(service.settings.model)
    return sorted(names - {row.model_id})


@post(
    "/v1/models/links",
    operation_id="link_models",
    operation_class=openapi.body(model_schemas.NewLink),
    summary="Record that two fingerprints are one space",
    status_code=200,
    responses=problems.documented(409, 413, 415, 422, 429, 503),
)
async def link(service: NamedDependency[Service], request: AnyRequest) -> model_schemas.SpaceLink:
    """Only where all canaries agree to 0.99999; then nothing is embedded again."""
    sent = await bodies.read(request, model_schemas.NewLink, service.settings.max_body_bytes)
    async with service.using(sent.model) as loaded:
        row, worst = await links.link(service.engine, service.models, loaded, sent.space)
    return model_schemas.SpaceLink(
        fingerprint=loaded.model.space.fingerprint,
        space=common_schemas.SpaceName(id=row.fingerprint, model=row.model_id),
        worst_cosine=worst,
    )


ROUTES = [page, get_one, link]
