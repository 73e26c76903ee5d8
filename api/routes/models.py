from collections.abc import Sequence
from pathlib import Path

from litestar import get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from api import bodies, embedding_schemas, named, problems, schemas
from api.routes import described
from api.routes.documents import AnyRequest
from api.service import Service
from embedding import sources
from indexing import links
from indexing.loaded import Loaded
from storage import spaces
from storage.spaces import SpaceRow


@get(
    "/v1/models",
    operation_id="list_models",
    summary="List models and the spaces they make",
    responses=problems.documented(422, 503),
)
async def page(service: NamedDependency[Service]) -> schemas.ModelList:
    """OpenAI's list, with everything added that identifies a space."""
    settings = service.settings
    return schemas.ModelList(
        data=await _every(service),
        available=await named.available(service),
        limits=schemas.Limits(
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
) -> schemas.ModelShown:
    """By id, alias or space; the id may hold `/`, encoded or not."""
    wanted = named.split(str(model_id).removeprefix("/")).name
    found = [one for one in await _every(service) if wanted in (one.id, one.space, *one.aliases)]
    if not found:
        raise NotFoundException(f"no model {wanted!r} was used yet; GET /v1/models lists them")
    # Several spaces can have been made by models of one name.
    return max(found, key=lambda one: (one.default, one.state == "loaded", one.created))


async def _every(service: Service) -> list[schemas.ModelShown]:
    async with service.engine.connect() as conn:
        rows = await spaces.every(conn)
        used = await spaces.used_by(conn)
        linked = await spaces.links(conn)
    loaded = {one.space_id: one for one in service.models.loaded}
    default = service.models.default
    return [
        _shown(
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
    operation_class=described.body(schemas.NewLink),
    summary="Record that two fingerprints are one space",
    status_code=200,
    responses=problems.documented(409, 413, 415, 422, 429, 503),
)
async def link(service: NamedDependency[Service], request: AnyRequest) -> schemas.Link:
    """Only where all canaries agree to 0.99999; then nothing is embedded again."""
    sent = await bodies.read(request, schemas.NewLink, service.settings.max_body_bytes)
    async with service.using(sent.model) as loaded:
        row, worst = await links.link(service.engine, service.models, loaded, sent.space)
    return schemas.Link(
        fingerprint=loaded.model.space.fingerprint,
        space=schemas.SpaceName(id=row.fingerprint, model=row.model_id),
        worst_cosine=worst,
    )


def _shown(
    row: SpaceRow,
    loaded: Loaded | None,
    collections: list[str],
    *,
    default: bool,
    missing: bool,
    aliases: Sequence[str],
    same: Sequence[str],
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
        state="loaded" if loaded else "missing" if missing else "unloaded",
        default=default,
        directory=str(described.directory) if described else None,
        backend=f"{loaded.model.build['backend']} {loaded.model.dtype}" if loaded else None,
        canaries=loaded.report.describe() if loaded else None,
        collections=collections,
        warnings=list(described.warnings) if described else [],
        aliases=list(aliases),
        same_spaces=list(same),
        matryoshka=described.matryoshka if described else None,
        include_prompt=described.space.include_prompt if described else None,
        memory_bytes=loaded.memory_bytes if loaded else None,
        queue=_queue(loaded) if loaded else None,
    )


def _queue(loaded: Loaded) -> schemas.Queue:
    status = loaded.model.status()
    return schemas.Queue(
        waiting_tokens=status.waiting_tokens,
        capacity_tokens=status.capacity,
        tokens_per_second=round(status.tokens_per_second, 1),
        problem=status.problem,
    )


ROUTES = [page, get_one, link]
