from litestar import get, post
from litestar.di import NamedDependency

from api import bodies, problems, schemas
from api.routes import described
from api.routes.documents import AnyRequest
from api.service import Service
from indexing import links
from indexing.models import Loaded
from storage import spaces
from storage.spaces import SpaceRow


@get(
    "/v1/models",
    operation_id="list_models",
    summary="List models and the spaces they make",
    responses=problems.documented(503),
)
async def page(service: NamedDependency[Service]) -> schemas.ModelList:
    """OpenAI's list, with everything added that identifies a space."""
    async with service.engine.connect() as conn:
        rows = await spaces.every(conn)
        used = await spaces.collections_of(conn)
    loaded = {one.space_id: one for one in service.models.loaded}
    default = service.models.default
    return schemas.ModelList(
        data=[
            _shown(
                row,
                loaded.get(row.id),
                used.get(row.id, []),
                default=default is not None and default.space_id == row.id,
            )
            for row in rows
        ],
        problems=dict(service.models.problems),
    )


@post(
    "/v1/models/links",
    operation_id="link_models",
    operation_class=described.body(schemas.NewLink),
    summary="Record that two fingerprints are one space",
    status_code=200,
    responses=problems.documented(409, 413, 422, 503),
)
async def link(service: NamedDependency[Service], request: AnyRequest) -> schemas.Link:
    """Only where all canaries agree to 0.99999; then nothing is embedded again."""
    sent = await bodies.read(request, schemas.NewLink, service.settings.max_body_bytes)
    loaded = await service.model(sent.model)
    row, worst = await links.link(service.engine, service.models, loaded, sent.space)
    return schemas.Link(
        fingerprint=loaded.model.space.fingerprint,
        space=schemas.SpaceName(id=row.fingerprint, model=row.model_id),
        worst_cosine=worst,
    )


def _shown(
    row: SpaceRow, loaded: Loaded | None, collections: list[str], *, default: bool
) -> schemas.ModelShown:
    described = loaded.model.description if loaded else None
    return schemas.ModelShown(
        id=row.model_id,
        created=int(row.created_at),
        owned_by="local",
        space=row.fingerprint,
        revision=row.revision,
        dimensions=row.dimensions,
        max_tokens=row.max_tokens,
        precision=row.precision,
        document_prompt=row.document_prompt,
        query_prompt=row.query_prompt,
        prompt_source=described.document_prompt.source if described else None,
        state="loaded" if loaded else "missing",
        default=default,
        directory=str(described.directory) if described else None,
        backend=f"{loaded.model.build['backend']} {loaded.model.dtype}" if loaded else None,
        canaries=loaded.report.describe() if loaded else None,
        collections=collections,
        warnings=list(described.warnings) if described else [],
    )


ROUTES = [page, link]
